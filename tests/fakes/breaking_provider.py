"""A provider that breaks in a way nobody foresaw when the last words of the user say so."""

from crush.providers.base import Answer, EmitStream, ModelRequest, TextDelta, Usage, UserTurn


class BreakingProvider:
    """Answers everything but `break` with its echo."""

    async def respond(self, request: ModelRequest, emit: EmitStream) -> Answer:
        turn = request.turns[-1]
        words = str(turn.blocks[-1]) if isinstance(turn, UserTurn) else ""
        emit(TextDelta("begin"))
        if "break" in words:
            raise ZeroDivisionError("nobody foresaw this")
        emit(TextDelta(" and end"))
        return Answer(stop="end_turn", usage=Usage(input_tokens=1, output_tokens=1))
