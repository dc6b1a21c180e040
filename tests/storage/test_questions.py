"""Questions to a running worker, beside the log."""

import threading

from geo_service.storage.connection import connect
from geo_service.storage.questions import Questions


def test_a_question_is_taken_once_and_its_answer_comes_back(url, keys):
    with connect(url, retries=0) as asking, connect(url, retries=0) as working:
        worker = Questions(working, keys=keys)
        answers = []
        asker = threading.Thread(target=lambda: answers.append(Questions(asking, keys=keys).ask(1, b"who?", 10)))
        asker.start()
        taken = []
        while not taken:
            taken = worker.waiting([0, 1])
        ((partition, number, question),) = taken
        assert (partition, question) == (1, b"who?")
        assert worker.waiting([0, 1]) == []
        worker.answer(partition, number, b"nobody")
        asker.join(10)
        assert answers == [b"nobody"]


def test_who_is_not_answered_in_time_is_told_so(client, keys):
    questions = Questions(client, keys=keys)
    assert questions.ask(0, b"who?", 0.05) is None


def test_a_worker_that_does_not_answer_is_not_asked_without_end(client, keys):
    questions = Questions(client, keys=keys)
    for _ in range(30):
        questions.ask(0, b"who?", 0.01)
    assert client.llen(keys("questions", partition=0)) == 20
