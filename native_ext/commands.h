/* commands.h: a command record as the order side's Python sees it: a tuple, one item per field.
 *
 * The order of the items is that of `Command` in engine/venues/order_records.py; a test compares
 * both, and every field's place with EVENT_DTYPE.
 */
#ifndef AEGIS_COMMANDS_H
#define AEGIS_COMMANDS_H

#include "bindings.h"

enum aegis_command_item {
    AEGIS_COMMAND_SINCE_VENUE_TIME_NS,
    AEGIS_COMMAND_EVENT_TYPE,
    AEGIS_COMMAND_ROLE,
    AEGIS_COMMAND_FLAGS,
    AEGIS_COMMAND_INSTRUMENT_INDEX,
    AEGIS_COMMAND_STRATEGY_INDEX,
    AEGIS_COMMAND_SIDE,
    AEGIS_COMMAND_ORDER_TYPE,
    AEGIS_COMMAND_TIME_IN_FORCE,
    AEGIS_COMMAND_ORDER_STATUS,
    AEGIS_COMMAND_ORDER_SEQUENCE,
    AEGIS_COMMAND_CAUSE_SEQUENCE,
    AEGIS_COMMAND_PRICE_TICKS,
    AEGIS_COMMAND_QTY_LOTS,
    AEGIS_COMMAND_VENUE_ORDER_ID,
    AEGIS_COMMAND_TRADE_ID,
    AEGIS_COMMAND_REASON,
    AEGIS_COMMAND_EPOCH_LOW,
    AEGIS_COMMAND_CAUSE_RECEIVE_TIME_NS,
    AEGIS_COMMAND_DECISION_TIME_NS,
    AEGIS_COMMAND_MID_HALF_TICKS,
    AEGIS_COMMAND_CLIENT_ORDER_ID,
    AEGIS_COMMAND_REQUEST_ID,
    AEGIS_COMMAND_GOOD_TILL_MS,
    AEGIS_COMMAND_ITEMS
};

/* Read the numbers of a command out of its payload, by item; texts are left out. Without Python. */
void aegis_command_numbers(const char *payload, int64_t numbers[AEGIS_COMMAND_ITEMS]);

/* order_wire.c: the request of a new order as aegis_line_build (order_line.h) wants it; `wire` is
 * an OrderWire that was frozen. */
int64_t aegis_wire_build(const void *wire, const char *payload, int64_t venue_ms, char *to,
                         int64_t room);

/* order_wire.c: let an OrderWire change no more, so that another thread may read it without the
 * GIL; -1 and an exception when the object is no OrderWire with a key. */
int aegis_wire_freeze(PyObject *wire);

#endif
