"""What becomes of webhooks that do not arrive, on a real HTTP server and a real Redis."""

from .webhook_office import DAY_MS, until


def test_a_failure_holds_the_rest_back_and_is_tried_again_later(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {}), (503, {"Retry-After": "600"})]
    desk.queue("wh", 1, 2)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    state = desk.state("wh")
    assert state.reason.startswith("500")
    assert 2_000 <= state.next_ms - desk.now_ms() <= 5_000
    desk.ahead_ms += 5_000
    until(lambda: desk.state("wh").failed == 2)
    assert desk.state("wh").next_ms - desk.now_ms() > 590_000
    desk.ahead_ms += 600_000
    until(lambda: desk.state("wh").delivered == 2)
    assert receiver.ids == ["0-1-0"] * 3 + ["0-2-0"]
    assert [(fate.id, fate.attempts) for fate in desk.queues.fates("wh", 9)] == [("0-2-0", 1), ("0-1-0", 3)]


def test_after_a_day_of_failures_a_delivery_is_a_dead_letter_and_can_be_sent_again(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {})] * 2
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    desk.ahead_ms += DAY_MS
    (letter,) = until(lambda: desk.queues.dead("wh", None, 9))
    assert (letter.id, letter.attempts, letter.reason) == ("0-1-0", 2, "500 Internal Server Error")
    assert desk.state("wh").waiting == 0
    assert desk.queues.resend("wh", [letter.entry], desk.now_ms()) == 1
    until(lambda: desk.state("wh").delivered == 1)


def test_what_has_waited_for_a_day_behind_it_is_given_up_with_it(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {})] * 2
    desk.queue("wh", 1, 2, 3)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    desk.ahead_ms += DAY_MS - 1000
    desk.queue("wh", 4)
    desk.ahead_ms += 1000
    until(lambda: desk.state("wh").dead_letters == 3)
    assert [delivery.id for delivery in desk.queues.waiting("wh", 9)] == ["0-4-0"]
    assert receiver.ids == ["0-1-0"] * 2


def test_the_last_try_is_made_when_the_day_is_over_and_no_later(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(500, {"Retry-After": "3600"})] * 2
    desk.queue("wh", 1)
    queued_ms = desk.queues.waiting("wh", 1)[0].queued_ms
    desk.ahead_ms += DAY_MS - 60_000
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert desk.state("wh").next_ms == queued_ms + DAY_MS


def test_410_disables_the_endpoint_and_nothing_that_waited_is_lost(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(204, {}), (410, {})]
    desk.queue("wh", 1, 2, 3)
    desk.start()
    until(lambda: desk.endpoints.get("wh").disabled)
    until(lambda: desk.state("wh").dead_letters == 2)
    assert receiver.ids == ["0-1-0", "0-2-0"]
    desk.queue("wh", 4)  # queued in the second before the disabling was heard of
    until(lambda: desk.state("wh").dead_letters == 3)
    assert len(receiver.came) == 2


def test_what_an_endpoint_says_is_shown_without_what_would_steer_a_terminal(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)

    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 418 tea\x1b[31m\x00pot\r\nContent-Length: 0\r\n\r\n")

    receiver.hold = answer
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert desk.state("wh").reason == "418 tea?[31m?pot"


def test_a_redirect_is_a_failure_and_is_not_followed(office, receiver):
    desk = office()
    desk.add("wh", receiver.url)
    receiver.answers = [(307, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})]
    desk.queue("wh", 1)
    desk.start()
    until(lambda: desk.state("wh").failed == 1)
    assert desk.state("wh").reason.startswith("307")
    assert len(receiver.came) == 1
