/* feed_frames.c: see frames.h. */
#include "frames.h"

#include <stdlib.h>
#include <string.h>

struct head {
    int64_t length;
    int32_t bytes;
    int32_t opcode;
    int32_t is_last;
};

int aegis_frames_open(struct aegis_frames *frames) {
    memset(frames, 0, sizeof *frames);
    frames->buffer = malloc(AEGIS_RECEIVE_BYTES);
    frames->message = malloc(AEGIS_MESSAGE_MAX);
    if (frames->buffer != NULL && frames->message != NULL)
        return 0;
    aegis_frames_close(frames);
    return -1;
}

void aegis_frames_close(struct aegis_frames *frames) {
    free(frames->buffer);
    free(frames->message);
    frames->buffer = frames->message = NULL;
}

uint8_t *aegis_frames_room(struct aegis_frames *frames, int64_t *length) {
    if (frames->start == frames->end)
        frames->start = frames->end = 0;
    if (AEGIS_RECEIVE_BYTES - frames->end < AEGIS_READ_MAX && frames->start > 0) {
        /* What is left is part of one frame, at most AEGIS_MESSAGE_MAX and its head. */
        memmove(frames->buffer, frames->buffer + frames->start,
                (size_t)(frames->end - frames->start));
        frames->end -= frames->start;
        frames->start = 0;
    }
    *length = AEGIS_RECEIVE_BYTES - frames->end;
    if (*length > AEGIS_READ_MAX)
        *length = AEGIS_READ_MAX;
    return frames->buffer + frames->end;
}

static int64_t big_endian(const uint8_t *bytes, int count) {
    uint64_t number = 0;
    for (int i = 0; i < count; i++)
        number = number << 8 | bytes[i];
    return (int64_t)number;
}

/* Read a frame's head at `start`: 0 when it is not whole, 1, or a broken law. */
static int read_head(const struct aegis_frames *frames, struct head *head) {
    const uint8_t *at = frames->buffer + frames->start;
    int64_t there = frames->end - frames->start;
    if (there < 2)
        return AEGIS_FRAMES_NEED;
    if (at[1] & 0x80)
        return AEGIS_FRAMES_MASKED;
    if (at[0] & 0x70)
        return AEGIS_FRAMES_RESERVED;
    head->is_last = at[0] >> 7;
    head->opcode = at[0] & 0x0f;
    head->length = at[1] & 0x7f;
    head->bytes = head->length == 126 ? 4 : head->length == 127 ? 10 : 2;
    if ((head->opcode & 7) > 2)
        return AEGIS_FRAMES_RESERVED;
    if (head->opcode >= AEGIS_OPCODE_CLOSE && (!head->is_last || head->length > 125))
        return AEGIS_FRAMES_CONTROL;
    if (there < head->bytes)
        return AEGIS_FRAMES_NEED;
    if (head->bytes > 2)
        head->length = big_endian(at + 2, head->bytes - 2);
    return head->length < 0 ? AEGIS_FRAMES_LENGTH : AEGIS_FRAMES_MESSAGE;
}

/* Pass over what is left of an oversize frame; whether it is over. */
static int skip(struct aegis_frames *frames) {
    int64_t there = frames->end - frames->start;
    int64_t n = frames->skip_left < there ? frames->skip_left : there;
    frames->start += n;
    frames->skip_left -= n;
    return frames->skip_left == 0;
}

static void drop_message(struct aegis_frames *frames, const struct head *head) {
    frames->message_length = 0;
    frames->is_dropping = !head->is_last;
    frames->message_opcode = head->is_last ? 0 : AEGIS_OPCODE_TEXT;
}

/* One data frame whose payload is at `payload`; NEED when its message goes on. */
static int take_data(struct aegis_frames *frames, const struct head *head, const uint8_t *payload,
                     struct aegis_message *out) {
    int is_first = head->opcode != AEGIS_OPCODE_CONTINUATION;
    if (is_first && head->is_last) {
        *out = (struct aegis_message){payload, head->length, head->opcode};
        return AEGIS_FRAMES_MESSAGE;
    }
    if (frames->is_dropping) {
        drop_message(frames, head);
        return AEGIS_FRAMES_NEED;
    }
    if (is_first) {
        frames->message_opcode = head->opcode;
        frames->message_length = 0;
    }
    if (frames->message_length + head->length > AEGIS_MESSAGE_MAX) {
        *out =
            (struct aegis_message){frames->message, frames->message_length, frames->message_opcode};
        drop_message(frames, head);
        return AEGIS_FRAMES_OVERSIZE;
    }
    memcpy(frames->message + frames->message_length, payload, (size_t)head->length);
    frames->message_length += head->length;
    if (!head->is_last)
        return AEGIS_FRAMES_NEED;
    *out = (struct aegis_message){frames->message, frames->message_length, frames->message_opcode};
    frames->message_opcode = 0;
    return AEGIS_FRAMES_MESSAGE;
}

int aegis_frames_next(struct aegis_frames *frames, struct aegis_message *out) {
    struct head head;
    for (;;) {
        if (frames->skip_left > 0 && !skip(frames))
            return AEGIS_FRAMES_NEED;
        int result = read_head(frames, &head);
        if (result != AEGIS_FRAMES_MESSAGE)
            return result;
        int is_data = head.opcode < AEGIS_OPCODE_CLOSE;
        int is_first = is_data && head.opcode != AEGIS_OPCODE_CONTINUATION;
        if (is_data && is_first == (frames->message_opcode != 0))
            return AEGIS_FRAMES_SEQUENCE;
        const uint8_t *payload = frames->buffer + frames->start + head.bytes;
        if (head.length > AEGIS_MESSAGE_MAX) {
            frames->start += head.bytes;
            int was_dropping = frames->is_dropping;
            int64_t there = frames->end - frames->start;
            *out = (struct aegis_message){payload, there < head.length ? there : head.length,
                                          head.opcode};
            frames->skip_left = head.length;
            drop_message(frames, &head);
            if (was_dropping)
                continue;
            return AEGIS_FRAMES_OVERSIZE;
        }
        if (frames->end - frames->start < head.bytes + head.length)
            return AEGIS_FRAMES_NEED;
        frames->start += head.bytes + head.length;
        if (!is_data) {
            *out = (struct aegis_message){payload, head.length, head.opcode};
            return AEGIS_FRAMES_MESSAGE;
        }
        result = take_data(frames, &head, payload, out);
        if (result != AEGIS_FRAMES_NEED)
            return result;
    }
}
