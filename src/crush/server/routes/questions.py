"""Answers to the forms of a workspace's project, or the word that there will be none (W 3.6)."""

from aiohttp import web

from crush.server.services import Services, body_of, client_of, json_response
from crush.wire.questions import QuestionAnswer, QuestionCancel


async def answer(request: web.Request, services: Services) -> web.StreamResponse:
    questions = services.workspaces.find(request.match_info["id"]).project.questions
    given = await body_of(request, QuestionAnswer)
    return json_response(await questions.answer(given, by=client_of(request)))


async def cancel(request: web.Request, services: Services) -> web.StreamResponse:
    questions = services.workspaces.find(request.match_info["id"]).project.questions
    meant = await body_of(request, QuestionCancel)
    return json_response(await questions.cancel(meant.batch_request_id, by=client_of(request)))
