import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_service.geofences.arena import Arena, spread
from geo_service.geofences.celltable import CellTable, entries_of

changes = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.dictionaries(
            st.integers(0, 40).map(lambda cell: cell * 5), st.tuples(st.booleans(), st.integers(0, 127)), max_size=12
        ),
    ),
    max_size=25,
)


def entry(slot, code):
    return int(entries_of(np.array([slot], np.int32), np.array([slot % 2 == 1]), np.array([code], np.int32))[0])


def asked_of(cells):
    """Cells as pages and spots."""
    return (cells >> 6).astype(np.uint32), (cells & 63).astype(np.int32)


@settings(max_examples=80, deadline=None)
@given(changes)
def test_a_cell_lists_what_was_put_in_and_not_taken_out(changes):
    """A change gives a slot other cells: `{cell: (near, code)}`; none takes it out."""
    table, model = CellTable(), {}
    for slot, cells in changes:
        if slot in model:
            leaving = np.zeros(8, np.bool_)
            leaving[slot] = True
            table.take_out(np.array([*model[slot], 17, 20_000], np.int64), leaving)
            del model[slot]
        if cells:
            keys = np.array(list(cells), np.int64)
            near = np.array([near for near, _ in cells.values()])
            table.add(keys, np.array([entry(slot, code) for _, code in cells.values()], np.int32), near)
            model[slot] = cells
        asked = np.arange(200)
        at, found = table.look(*asked_of(asked))
        assert list(zip(at.tolist(), found.tolist(), strict=True)) == listed(model, asked, only_touching=True)
        at, found, near = table.look_around(*asked_of(asked))
        assert list(zip(at.tolist(), found.tolist(), strict=True)) == listed(model, asked, only_touching=False)
        assert near.tolist() == [model[e >> 8][cell][0] for cell, e in zip(at.tolist(), found.tolist(), strict=True)]


def listed(model, asked, *, only_touching):
    out = []
    for cell in asked.tolist():
        here = [(*cells[cell], slot) for slot, cells in sorted(model.items()) if cell in cells]
        out += [(cell, entry(slot, code)) for near, code, slot in here if not near]
        if not only_touching:
            out += [(cell, entry(slot, code)) for near, code, slot in here if near]
    return out


def test_cells_that_come_and_go_for_long_take_no_more_room():
    table, sizes, before = CellTable(), [], None
    for turn in range(60):
        keys = np.arange(turn * 20_000, (turn + 1) * 20_000) * 16
        slot = turn % 2
        table.add(keys, np.full(len(keys), entry(slot, 1), np.int32), np.zeros(len(keys), np.bool_))
        if before is not None:
            leaving = np.zeros(2, np.bool_)
            leaving[1 - slot] = True
            table.take_out(before, leaving)
        before = keys
        sizes.append(len(table._starts) + table._places.size)
        at, _ = table.look(*asked_of(keys))
        assert len(at) == len(keys)
    assert sizes[-1] == sizes[25]


def test_an_arena_hands_out_blocks_that_do_not_overlap_and_reuses_them():
    arena, rng = Arena([np.int64]), np.random.default_rng(0)
    held = []
    for turn in range(200):
        sizes = rng.integers(0, 40, 5)
        starts = arena.allocate(sizes)
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            arena.columns[0][start : start + size] = turn
            held.append((start, size, turn))
        if len(held) > 40:
            gone = [held.pop(int(rng.integers(len(held)))) for _ in range(5)]
            arena.release(np.array([start for start, _, _ in gone]), np.array([size for _, size, _ in gone]))
        for start, size, mark in held:
            assert (arena.columns[0][start : start + size] == mark).all()
    assert len(arena.columns[0]) < 4_000, "what was given back is used again"


def test_spread_counts_through_blocks():
    assert spread(np.array([5, 9, 2]), np.array([2, 0, 3])).tolist() == [5, 6, 2, 3, 4]
    assert spread(np.array([], np.int64), np.array([], np.int64)).tolist() == []
