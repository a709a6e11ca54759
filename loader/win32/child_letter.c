/*
 * The letter that a child gets from its parent (child.h), over a stream socket.
 *
 * First a fixed head with the descriptor of the child's record, then the descriptors of all parcels
 * in packets of what SCM_RIGHTS allows, then the texts and the handles as bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loader/win32/child.h"

/* SCM_MAX_FD of the kernel is 253. */
#define PACKET_FDS 250u
#define MAX_FDS    65536u
#define MAX_TEXT   (64u << 20)

struct head {
    uint32_t magic, fd_count, handle_count;
    uint32_t text_size[CHILD_TEXTS];
    struct child_look look;
};
#define MAGIC 0x314C4450u /* "PDL1": changes with the layout */

_Static_assert(sizeof(struct child_look) == 52, "the same in both word sizes");
_Static_assert(sizeof(struct child_handle) == 12 + 12 + 4 * OB_PARCEL_FDS + OB_PARCEL_SIZE,
               "the same in both word sizes");

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(PACKET_FDS * sizeof(int))];
};

/* ---- sending ------------------------------------------------------------------------------------
 */

static bool send_bytes(int socket, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t sent = send(socket, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* The descriptors go with the first byte. */
static bool send_with_fds(int socket, const void *bytes, size_t size, const int *fds, size_t count)
{
    union control control;
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    ssize_t sent;
    memset(&control, 0, sizeof(control));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent > 0 && send_bytes(socket, (const char *)bytes + sent, size - (size_t)sent);
}

static uint32_t collect_fds(const struct child_letter *letter, int *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < letter->handle_count; i++) {
        const struct ob_parcel *parcel = &letter->handles[i].parcel;
        for (uint32_t k = 0; k < parcel->fd_count; k++)
            out[count++] = parcel->fds[k];
    }
    return count;
}

static bool send_fds(int socket, const int *fds, uint32_t count)
{
    bool ok = true;
    for (uint32_t done = 0; done < count && ok; done += PACKET_FDS) {
        uint32_t some = count - done < PACKET_FDS ? count - done : PACKET_FDS;
        ok = send_with_fds(socket, "", 1, fds + done, some);
    }
    return ok;
}

nt_status child_letter_send(int socket, const struct child_letter *letter)
{
    struct head head = {.magic = MAGIC, .handle_count = letter->handle_count, .look = letter->look};
    int *fds = calloc((size_t)letter->handle_count * OB_PARCEL_FDS + 1, sizeof(*fds));
    if (!fds)
        return STATUS_NO_MEMORY;
    head.fd_count = collect_fds(letter, fds);
    for (int i = 0; i < CHILD_TEXTS; i++)
        head.text_size[i] = letter->texts[i].size;
    bool ok = send_with_fds(socket, &head, sizeof(head), &letter->record_fd, 1) &&
              send_fds(socket, fds, head.fd_count);
    for (int i = 0; i < CHILD_TEXTS && ok; i++)
        ok = send_bytes(socket, letter->texts[i].bytes, letter->texts[i].size);
    ok = ok && send_bytes(socket, letter->handles, letter->handle_count * sizeof(*letter->handles));
    free(fds);
    return ok ? STATUS_SUCCESS : (nt_status)STATUS_UNSUCCESSFUL;
}

/* ---- receiving ----------------------------------------------------------------------------------
 */

static bool receive_bytes(int socket, void *bytes, size_t size)
{
    char *at = bytes;
    while (size) {
        ssize_t got = recv(socket, at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static void close_all(int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* Exactly `wanted` descriptors come with the first byte. */
static bool receive_with_fds(int socket, void *bytes, size_t size, int *fds, uint32_t wanted)
{
    union control control;
    struct iovec part = {bytes, size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    uint32_t count = 0;
    ssize_t got;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        int all[PACKET_FDS];
        count = (uint32_t)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(all, CMSG_DATA(header), count * sizeof(int));
        if (count == wanted)
            memcpy(fds, all, count * sizeof(int));
        else
            close_all(all, count);
    }
    return got > 0 && count == wanted &&
           receive_bytes(socket, (char *)bytes + got, size - (size_t)got);
}

static bool receive_fds(int socket, int *fds, uint32_t count)
{
    bool ok = true;
    for (uint32_t done = 0; done < count && ok; done += PACKET_FDS) {
        uint32_t some = count - done < PACKET_FDS ? count - done : PACKET_FDS;
        char byte;
        ok = receive_with_fds(socket, &byte, 1, fds + done, some);
    }
    return ok;
}

/* Memory for what the head promises; checked, though it is this user's own process that sends. */
static bool make_room(const struct head *head, struct child_letter *out)
{
    uint64_t size = 0;
    for (int i = 0; i < CHILD_TEXTS; i++)
        size += head->text_size[i];
    if (head->magic != MAGIC || size > MAX_TEXT || head->fd_count > MAX_FDS ||
        head->handle_count > MAX_FDS || !head->text_size[CHILD_IMAGE])
        return false;
    out->memory = malloc((size_t)size);
    out->handles = calloc(head->handle_count + 1u, sizeof(*out->handles));
    char *at = out->memory;
    for (int i = 0; i < CHILD_TEXTS && at; i++) {
        out->texts[i].bytes = at;
        out->texts[i].size = head->text_size[i];
        at += head->text_size[i];
    }
    return out->memory && out->handles;
}

/* Gives the parcels their descriptors; those that no parcel claims are closed. */
static bool deal_fds(struct child_letter *letter, int *fds, uint32_t count)
{
    uint32_t used = 0;
    bool ok = true;
    for (uint32_t i = 0; i < letter->handle_count; i++) {
        struct ob_parcel *parcel = &letter->handles[i].parcel;
        ok = ok && parcel->fd_count <= OB_PARCEL_FDS && parcel->fd_count <= count - used &&
             parcel->size <= OB_PARCEL_SIZE;
        if (!ok)
            parcel->fd_count = 0;
        for (uint32_t k = 0; k < parcel->fd_count; k++)
            parcel->fds[k] = fds[used++];
    }
    close_all(fds + used, count - used);
    return ok;
}

static bool receive_rest(int socket, const struct head *head, struct child_letter *out)
{
    int *fds = malloc((head->fd_count + 1) * sizeof(*fds));
    if (!fds || !make_room(head, out)) {
        free(fds);
        return false;
    }
    for (uint32_t i = 0; i < head->fd_count; i++)
        fds[i] = -1;
    bool ok = receive_fds(socket, fds, head->fd_count);
    for (int i = 0; i < CHILD_TEXTS && ok; i++)
        ok = receive_bytes(socket, (void *)(uintptr_t)out->texts[i].bytes, out->texts[i].size);
    ok = ok && receive_bytes(socket, out->handles, head->handle_count * sizeof(*out->handles));
    out->handle_count = ok ? head->handle_count : 0;
    bool dealt = deal_fds(out, fds, head->fd_count);
    free(fds);
    const char *image = out->texts[CHILD_IMAGE].bytes;
    return ok && dealt && !image[out->texts[CHILD_IMAGE].size - 1];
}

nt_status child_letter_receive(int socket, struct child_letter *out, struct pe_error *err)
{
    struct head head = {0};
    *out = (struct child_letter){.record_fd = -1};
    if (receive_with_fds(socket, &head, sizeof(head), &out->record_fd, 1) &&
        head.fd_count <= MAX_FDS && receive_rest(socket, &head, out)) {
        out->look = head.look;
        return STATUS_SUCCESS;
    }
    child_letter_free(out);
    return pe_fail(err, STATUS_UNSUCCESSFUL, "the parent process does not say what is to be run");
}

void child_letter_free(struct child_letter *letter)
{
    for (uint32_t i = 0; i < letter->handle_count; i++)
        ob_parcel_discard(&letter->handles[i].parcel);
    if (letter->record_fd >= 0)
        close(letter->record_fd);
    free(letter->handles);
    free(letter->memory);
    *letter = (struct child_letter){.record_fd = -1};
}

struct ke_wide child_letter_text(const struct child_letter *letter, enum child_text which)
{
    return (struct ke_wide){letter->texts[which].bytes,
                            letter->texts[which].size / sizeof(uint16_t)};
}
