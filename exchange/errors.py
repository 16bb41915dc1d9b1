"""The refusals this venue can answer with: code, HTTP status and sentence.

One exception type carries a refusal from where it is found to the REST answer. The codes are
the venue's; the sentences are ours.
"""

from __future__ import annotations

TEXT_OF_CODE: dict[int, str] = {
    -1000: "The request could not be understood.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests: the request weight limit of this minute is used up.",
    -1013: "The number sent is not usable: it must be finite and not negative.",
    -1015: "Too many orders in this interval.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1099: "Not found, unauthenticated or unauthorised.",
    -1100: "A parameter holds characters that are not allowed.",
    -1102: "A mandatory parameter was not sent, was empty or malformed.",
    -1106: "A parameter was sent that this request does not take.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1121: "Invalid symbol.",
    -1128: "Combination of optional parameters invalid.",
    -1125: "This listenKey does not exist.",
    -1135: "This request is not the JSON object it should be.",
    -2007: "Invalid callBack rate.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -4000: "Invalid order status for this request.",
    -4001: "Price less than 0.",
    -4002: "Price greater than max price.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4016: "Limit price can't be higher than the cap of the percent price filter.",
    -4023: "Quantity not increased by step size.",
    -4024: "Limit price can't be lower than the floor of the percent price filter.",
    -4028: "Leverage is not valid.",
    -4045: "Reached the limit of conditional orders.",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4059: "No need to change position side.",
    -4061: "Order's position side does not match user's setting.",
    -4068: "Position side cannot be changed if there exists position.",
    -4108: "Symbol is on delivering or delivered or settling or closed or pre-trading.",
    -4116: "ClientOrderId is duplicated.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4136: "Close position goes with a stop or take-profit market order without quantity.",
    -4164: "Order's notional must be no smaller than the minimum (unless reduceOnly).",
    -5025: "Only limit orders can be amended.",
    -5026: "The order was amended as often as an order may be.",
    -5027: "No need to modify the order.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "The order could not be executed as maker, the Post Only order has been rejected.",
}

STATUS_OF_CODE: dict[int, int] = {
    -1001: 503,
    -1003: 429,
    -1015: 429,
    -2014: 401,
    -2015: 401,
    -1099: 404,
}


class ApiError(Exception):
    """A refusal on its way to the client."""

    def __init__(self, code: int, message: str = "", *, status: int = 0) -> None:
        """Keep the code; take sentence and HTTP status from the tables unless given."""
        self.code = code
        self.message = message or TEXT_OF_CODE.get(code, "Request refused.")
        self.status = status or STATUS_OF_CODE.get(code, 400)
        super().__init__(f"{code}: {self.message}")

    def body(self) -> dict[str, object]:
        """Return the JSON object the venue answers with."""
        return {"code": self.code, "msg": self.message}


class LedgerFileError(Exception):
    """A ledger file that does not fit, or cannot be read or written: the message says which."""


class ListenError(Exception):
    """An address that cannot be listened on: the message names it."""


class ScenarioError(Exception):
    """A scenario that cannot be played: the message names the file, the row and the word."""


class TapeError(Exception):
    """A tape that cannot be read: the message names the file and what is wrong with it."""
