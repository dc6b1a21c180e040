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

# Many fences in few cells: lists that are added to at their ends.
crowds = st.lists(
    st.tuples(
        st.integers(0, 63),
        st.dictionaries(st.integers(0, 3), st.tuples(st.booleans(), st.integers(0, 127)), min_size=1, max_size=3),
    ),
    min_size=20,
    max_size=60,
).flatmap(lambda drawn: st.sampled_from([drawn, sorted(drawn, key=lambda change: change[0])]))


def entry(slot, code):
    return int(entries_of(np.array([slot], np.int32), np.array([slot % 2 == 1]), np.array([code], np.int32))[0])


def asked_of(cells):
    """Cells as pages and spots."""
    return (cells >> 6).astype(np.uint32), (cells & 63).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(st.one_of(changes, crowds))
def test_a_cell_lists_what_was_put_in_and_not_taken_out(changes):
    """A change gives a slot other cells: `{cell: (near, code)}`; none takes it out."""
    table, model = CellTable(), {}
    for number, (slot, cells) in enumerate(changes, 1):
        if slot in model:
            leaving = np.zeros(64, np.bool_)
            leaving[slot] = True
            table.take_out(np.array([*model[slot], 17, 20_000], np.int64), leaving)
            del model[slot]
        if cells:
            keys = np.array(list(cells), np.int64)
            near = np.array([near for near, _ in cells.values()])
            table.add(keys, np.array([entry(slot, code) for _, code in cells.values()], np.int32), near)
            model[slot] = cells
        if number % 5 and number < len(changes):
            continue
        asked = np.arange(200)
        at, found = table.look(*asked_of(asked))
        assert list(zip(at.tolist(), found.tolist(), strict=True)) == listed(model, asked, only_touching=True)
        at, found, near = table.look_around(*asked_of(asked))
        assert (np.diff(at * 2 + near) >= 0).all(), "by cell, near ones last"
        order = np.lexsort((found, near, at))
        at, found, near = at[order], found[order], near[order]
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


def test_a_crowd_that_comes_a_few_at_a_time_is_listed_as_one_that_comes_at_once():
    rng = np.random.default_rng(0)
    slots = np.repeat(np.arange(300), 20)
    cells = np.concatenate([rng.choice(50, 20, replace=False) for _ in range(300)]).astype(np.int64)
    near, code = rng.random(6_000) < 0.4, rng.integers(0, 128, 6_000)
    entries = entries_of(slots.astype(np.int32), slots % 2 == 1, code.astype(np.int32))
    slowly, at_once = CellTable(), CellTable()
    at_once.add(cells, entries, near)
    for part in np.split(np.arange(6_000), np.arange(60, 6_000, 60)):
        slowly.add(cells[part], entries[part], near[part])
    asked = asked_of(np.arange(50))
    assert [column.tolist() for column in slowly.look(*asked)] == [column.tolist() for column in at_once.look(*asked)]
    for one, other in zip(slowly.look_around(*asked), at_once.look_around(*asked), strict=True):
        assert sorted(one.tolist()) == sorted(other.tolist())
