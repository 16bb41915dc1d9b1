/* frames.h: the client's side of RFC 6455 framing: bytes of one connection into messages.
 *
 *     recv -> [ start ... end ... capacity )        whole frames are handed out in place
 *                                                   fragments are put together in `message`
 *
 * Bounds: a message longer than AEGIS_MESSAGE_MAX is passed over without being kept, and reported
 * once. One connection, one thread. Nothing is allocated after aegis_frames_open.
 */
#ifndef AEGIS_FRAMES_H
#define AEGIS_FRAMES_H

#include <stdint.h>

#define AEGIS_MESSAGE_MAX (512 * 1024)  /* the longest seen is 42 kB, a depth diff */
#define AEGIS_RECEIVE_BYTES (1024 * 1024)
#define AEGIS_READ_MAX (256 * 1024) /* bytes taken per read, so that publishing is not put off */

enum aegis_opcode {
    AEGIS_OPCODE_CONTINUATION = 0x0,
    AEGIS_OPCODE_TEXT = 0x1,
    AEGIS_OPCODE_BINARY = 0x2,
    AEGIS_OPCODE_CLOSE = 0x8,
    AEGIS_OPCODE_PING = 0x9,
    AEGIS_OPCODE_PONG = 0xA
};

/* Results of aegis_frames_next. */
enum aegis_frames_result {
    AEGIS_FRAMES_NEED = 0,     /* no whole message is there */
    AEGIS_FRAMES_MESSAGE = 1,  /* `out` holds one; valid until the next call */
    AEGIS_FRAMES_OVERSIZE = 2, /* one was too long; `out` holds its first bytes */
    AEGIS_FRAMES_MASKED = -1,  /* from here on: the other side breaks the protocol */
    AEGIS_FRAMES_RESERVED = -2,
    AEGIS_FRAMES_CONTROL = -3,
    AEGIS_FRAMES_SEQUENCE = -4,
    AEGIS_FRAMES_LENGTH = -5
};

struct aegis_frames {
    uint8_t *buffer;
    uint8_t *message;
    int64_t start;
    int64_t end;
    int64_t skip_left; /* payload bytes of an oversize frame still to be passed over */
    int64_t message_length;
    int32_t message_opcode; /* of the fragments so far; 0: none */
    int32_t is_dropping;    /* the rest of this message is passed over */
};

struct aegis_message {
    const uint8_t *data;
    int64_t length;
    int32_t opcode;
};

/* 0, or -1 when memory is short. */
int aegis_frames_open(struct aegis_frames *frames);
void aegis_frames_close(struct aegis_frames *frames);

/* Where the next bytes go and how many there may be; at least AEGIS_READ_MAX once parsed. */
uint8_t *aegis_frames_room(struct aegis_frames *frames, int64_t *length);

/* Hand out the next message; see aegis_frames_result. */
int aegis_frames_next(struct aegis_frames *frames, struct aegis_message *out);

#endif
