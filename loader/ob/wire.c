/*
 * Framing of messages and of the descriptors that go with them (unix(7), SCM_RIGHTS).
 *
 * Descriptors travel with the first byte. Whatever arrives is ours to close at once: they are
 * collected in the message as they come, and a message with more of them than it announced, or with
 * some that did not fit into this process's table (MSG_CTRUNC), is broken.
 */
#include "loader/ob/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WIRE_MAGIC 0x31444C50u /* "PLD1" */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(OB_PARCEL_FDS * sizeof(int))];
};

void ob_message_release(struct ob_message *message)
{
    for (uint32_t i = 0; i < message->fd_count && i < OB_PARCEL_FDS; i++)
        if (message->fds[i] >= 0)
            close(message->fds[i]);
    free(message->bytes);
    *message = (struct ob_message){0};
}

nt_status ob_message_set(struct ob_message *message, const void *bytes, uint32_t size)
{
    message->bytes = malloc(size);
    if (!message->bytes)
        return STATUS_NO_MEMORY;
    memcpy(message->bytes, bytes, size);
    message->size = size;
    return STATUS_SUCCESS;
}

bool ob_message_get(const struct ob_message *message, void *bytes, uint32_t size)
{
    if (message->size < size)
        return false;
    memcpy(bytes, message->bytes, size);
    return true;
}

/* ---- receiving ----------------------------------------------------------------------------------
 */

void ob_wire_start_receive(struct ob_transfer *transfer, struct ob_message *message, uint32_t limit)
{
    *transfer = (struct ob_transfer){.message = message, .limit = limit};
}

/* Puts the descriptors of one control message into ours; false when there are too many. */
static bool keep(struct ob_message *message, const struct cmsghdr *control)
{
    bool fits = true;
    size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
        if (message->fd_count < OB_PARCEL_FDS) {
            message->fds[message->fd_count++] = fd;
        } else {
            close(fd);
            fits = false;
        }
    }
    return fits;
}

static bool keep_all(struct ob_message *message, struct msghdr *header)
{
    bool fits = !(header->msg_flags & MSG_CTRUNC);
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at))
        if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS)
            fits = keep(message, at) && fits;
    return fits;
}

/* Up to `size` bytes: how many, 0 = none yet, -1 = the connection is of no use any more. */
static ssize_t receive_some(int fd, struct ob_message *message, void *to, size_t size)
{
    union control control;
    struct iovec span = {to, size};
    struct msghdr header = {.msg_iov = &span,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t got;
    do
        got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? 0 : -1;
    if (!keep_all(message, &header) || got == 0)
        return -1;
    return got;
}

/* The header is complete: room for the bytes. */
static bool accept_header(struct ob_transfer *transfer)
{
    const struct ob_wire_header *header = &transfer->header;
    struct ob_message *message = transfer->message;
    if (header->magic != WIRE_MAGIC || header->size > transfer->limit ||
        header->fd_count != message->fd_count)
        return false;
    message->request = header->request;
    message->status = header->status;
    message->bytes = header->size ? malloc(header->size) : NULL;
    message->size = header->size;
    return message->bytes || header->size == 0;
}

enum ob_wire_step ob_wire_receive(int fd, struct ob_transfer *transfer)
{
    struct ob_message *message = transfer->message;
    const uint64_t head = sizeof transfer->header;
    for (;;) {
        uint64_t done = transfer->done;
        if (done >= head && done - head == message->size)
            return OB_WIRE_DONE;
        ssize_t got = done < head
                          ? receive_some(fd, message, (char *)&transfer->header + done, head - done)
                          : receive_some(fd, message, message->bytes + (done - head),
                                         (size_t)(message->size - (done - head)));
        if (got <= 0)
            return got < 0 ? OB_WIRE_BROKEN : OB_WIRE_AGAIN;
        transfer->done += (uint64_t)got;
        if (transfer->done == head && !accept_header(transfer))
            return OB_WIRE_BROKEN;
        if (transfer->done > head && message->fd_count != transfer->header.fd_count)
            return OB_WIRE_BROKEN;
    }
}

/* ---- sending ------------------------------------------------------------------------------------
 */

void ob_wire_start_send(struct ob_transfer *transfer, const struct ob_message *message)
{
    *transfer = (struct ob_transfer){
        .message = (struct ob_message *)message,
        .header = {.magic = WIRE_MAGIC,
                   .request = message->request,
                   .status = message->status,
                   .size = message->size,
                   .fd_count = message->fd_count},
    };
}

static ssize_t send_some(int fd, const struct ob_transfer *transfer)
{
    const struct ob_message *message = transfer->message;
    const uint64_t head = sizeof transfer->header;
    union control control = {0};
    struct iovec spans[2];
    struct msghdr header = {.msg_iov = spans};
    if (transfer->done < head)
        spans[header.msg_iovlen++] = (struct iovec){(char *)&transfer->header + transfer->done,
                                                    (size_t)(head - transfer->done)};
    uint64_t body = transfer->done > head ? transfer->done - head : 0;
    if (body < message->size)
        spans[header.msg_iovlen++] =
            (struct iovec){message->bytes + body, (size_t)(message->size - body)};
    if (transfer->done == 0 && message->fd_count) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(message->fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(message->fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), message->fds, message->fd_count * sizeof(int));
    }
    ssize_t put;
    do
        put = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    return put < 0 && errno == EAGAIN ? 0 : put;
}

enum ob_wire_step ob_wire_send(int fd, struct ob_transfer *transfer)
{
    const uint64_t total = sizeof transfer->header + transfer->message->size;
    while (transfer->done < total) {
        ssize_t put = send_some(fd, transfer);
        if (put <= 0)
            return put < 0 ? OB_WIRE_BROKEN : OB_WIRE_AGAIN;
        transfer->done += (uint64_t)put;
    }
    return OB_WIRE_DONE;
}

/* ---- parcels in messages ------------------------------------------------------------------------
 */

/* Alike in both word sizes; `size` bytes of data follow. */
struct wire_parcel {
    uint32_t type;
    uint32_t size;
    uint32_t fd_count;
    uint32_t reserved;
};

nt_status ob_message_put_parcel(struct ob_message *message, struct ob_parcel *parcel)
{
    const struct wire_parcel head = {parcel->type, parcel->size, parcel->fd_count, 0};
    nt_status status = STATUS_INVALID_PARAMETER;
    if (message->fd_count == 0 && parcel->fd_count <= OB_PARCEL_FDS &&
        parcel->size <= OB_PARCEL_SIZE) {
        uint8_t *bytes = realloc(message->bytes, message->size + sizeof head + parcel->size);
        status = bytes ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
        message->bytes = bytes ? bytes : message->bytes;
    }
    if (!nt_ok(status)) {
        ob_parcel_discard(parcel);
        return status;
    }
    memcpy(message->bytes + message->size, &head, sizeof head);
    memcpy(message->bytes + message->size + sizeof head, parcel->data, parcel->size);
    message->size += (uint32_t)sizeof head + parcel->size;
    message->fd_count = parcel->fd_count;
    memcpy(message->fds, parcel->fds, sizeof parcel->fds);
    parcel->fd_count = 0;
    return STATUS_SUCCESS;
}

nt_status ob_message_take_parcel(struct ob_message *message, uint32_t offset,
                                 struct ob_parcel *parcel)
{
    struct wire_parcel head;
    if (offset > message->size || message->size - offset < sizeof head)
        return STATUS_INVALID_PARAMETER;
    memcpy(&head, message->bytes + offset, sizeof head);
    if (head.size > OB_PARCEL_SIZE || head.size > message->size - offset - sizeof head ||
        head.fd_count != message->fd_count)
        return STATUS_INVALID_PARAMETER;
    *parcel = (struct ob_parcel){.type = head.type, .fd_count = head.fd_count, .size = head.size};
    memcpy(parcel->data, message->bytes + offset + sizeof head, head.size);
    memcpy(parcel->fds, message->fds, sizeof parcel->fds);
    message->fd_count = 0;
    return STATUS_SUCCESS;
}
