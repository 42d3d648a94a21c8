"""Asks every question of the cookbook, and holds the answer to one worked out in plain Python and to the one on the page."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import ModuleType

import pytest

from tests.acceptance.cookbook import data, engineering, finance, load, sales, support, voice_ai
from tests.acceptance.cookbook.asking import Answering, Question, ask, at_the_time, questions, table
from tests.acceptance.cookbook.world import Company

BY: dict[str, tuple[ModuleType, ...]] = {
    "data.md": (data,),
    "engineering.md": (engineering,),
    "finance.md": (finance,),
    "sales.md": (sales,),
    "support.md": (support, load),
    "voice-ai.md": (voice_ai,),
}
ANSWERS: dict[str, dict[str, Answering]] = {
    page: {title: answering for by in modules for title, answering in by.ANSWERS.items()} for page, modules in BY.items()
}
QUESTIONS = questions()


def test_every_question_has_an_answer_worked_out_in_python_and_every_answer_its_question() -> None:
    """Page by page; and there are at least the 25 that were asked for."""
    asked: dict[str, set[str]] = {}
    for question in QUESTIONS:
        asked.setdefault(question.page, set()).add(question.title)
    assert asked == {page: set(answers) for page, answers in ANSWERS.items()}
    titles = [question.title for question in QUESTIONS]
    assert len(set(titles)) == len(titles) == len(reduce(or_, ANSWERS.values()))
    assert len(titles) >= 25


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.title)
def test_the_answer_is_the_one_worked_out_in_python_and_the_page_shows_it(company: Company, question: Question) -> None:
    """Whole rows in their order; asked by a session in another time zone than the reports'."""
    with company.stage.database.engine.connect() as session:
        at_the_time(session)
        session.exec_driver_sql("SET LOCAL TIME ZONE 'America/Los_Angeles'")
        columns, rows = ask(session, question.query)
        session.rollback()
    assert rows == ANSWERS[question.page][question.title](company)
    assert rows and len(rows) <= 16
    assert question.shown == table(columns, rows), f"in docs/cookbook/{question.page} should stand:\n\n{table(columns, rows)}\n"


@pytest.mark.parametrize("question", [one for one in QUESTIONS if one.first], ids=lambda question: question.title)
def test_an_index_that_a_page_shows_is_used_and_changes_no_answer(company: Company, question: Question) -> None:
    """It needs no extension, and the plan of the query above it names it."""
    with company.stage.database.engine.connect() as session:
        for statement in question.first:
            session.exec_driver_sql(statement)
        session.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the tables of a test are too small for any index
        _, plan = ask(session, f"EXPLAIN {question.query}")
        _, rows = ask(session, question.query)
        session.rollback()
    names = [statement.split()[2] for statement in question.first]
    assert [name for name in names if not any(f" on {name} " in line for (line,) in plan)] == [], plan
    assert rows == ANSWERS[question.page][question.title](company)


def test_an_index_of_words_refuses_no_text(company: Company) -> None:
    """Not even one of the longest words of the widest characters, so that no sync is stopped by it."""
    worst = ["-".join(chr(0x20000 + number) for number in range(40_000)), "\N{GRINNING FACE} " * 200_000]
    worst += [" ".join(f"{number:x}/{number:x}.example.com/{number}" for number in range(40_000)), "x" * 3_000_000]
    with company.stage.database.engine.connect() as session:
        for statement in [one for question in QUESTIONS for one in question.first if "to_tsvector" in one]:
            session.exec_driver_sql(statement)
        for text in worst:
            for table, column in (("call_messages", "text"), ("calls", "transcript")):
                one = f"(SELECT min(ctid) FROM {table} WHERE {column} IS NOT NULL)"
                changed = session.exec_driver_sql(f"UPDATE {table} SET {column} = %s WHERE ctid = {one}", (text,))
                assert changed.rowcount == 1
        session.rollback()
