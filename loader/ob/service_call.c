/*
 * The asking side of the service: whom a connection leads to, and one request with a time limit.
 *
 * SO_PEERCRED of a connected stream socket tells who called listen(2) on the other side (unix(7)),
 * which no other user and no other process can forge.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/process_object.h"
#include "loader/ob/wire.h"

uint32_t ob_service_address(uint32_t id, int attempt, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    char *name = out->sun_path + 1; /* the first NUL makes it an abstract name */
    size_t size = sizeof out->sun_path - 1;
    int length = snprintf(name, size, "peldr/%u/%u", (unsigned)geteuid(), (unsigned)id);
    if (attempt > 0)
        length += snprintf(name + length, size - (size_t)length, "/%d", attempt);
    return (uint32_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

uint32_t ob_service_peer(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || size != sizeof peer)
        return 0;
    return peer.uid == geteuid() && peer.pid > 0 ? (uint32_t)peer.pid : 0;
}

bool ob_pidfd_ended(int pidfd)
{
    struct pollfd poll_pidfd = {.fd = pidfd, .events = POLLIN};
    int got;
    do
        got = poll(&poll_pidfd, 1, 0);
    while (got < 0 && errno == EINTR);
    return got > 0;
}

/* A full backlog makes connect(2) wait, for SO_SNDTIMEO at most. */
static int connect_to(uint32_t id, int attempt, int milliseconds)
{
    struct sockaddr_un address;
    socklen_t length = ob_service_address(id, attempt, &address);
    const struct timeval limit = {milliseconds / 1000, milliseconds % 1000 * 1000};
    int result, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    do
        result = connect(fd, (struct sockaddr *)&address, length);
    while (result != 0 && errno == EINTR);
    if (result == 0 && ob_service_peer(fd) == id)
        return fd;
    int error = result == 0 ? ECONNREFUSED : errno;
    close(fd);
    errno = error;
    return -1;
}

nt_status ob_service_connect(uint32_t id, int pidfd, int milliseconds, int *fd,
                             struct pe_error *err)
{
    for (int attempt = 0; attempt < OB_SERVICE_NAMES; attempt++) {
        int connection = connect_to(id, attempt, milliseconds);
        if (connection >= 0 && pidfd >= 0 && ob_pidfd_ended(pidfd)) {
            close(connection);
            return pe_fail(err, STATUS_PROCESS_IS_TERMINATING, "process %u has ended",
                           (unsigned)id);
        }
        if (connection >= 0) {
            *fd = connection;
            return STATUS_SUCCESS;
        }
        if (errno == EAGAIN)
            return pe_fail(err, STATUS_IO_TIMEOUT, "process %u does not answer", (unsigned)id);
        if (errno != ECONNREFUSED)
            return pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "cannot connect to process %u: %s",
                           (unsigned)id, strerror(errno));
    }
    return pe_fail(err, STATUS_INVALID_CID,
                   "there is no process %u of this user in which peldr runs", (unsigned)id);
}

/* ---- one request --------------------------------------------------------------------------------
 */

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Steps until it is done or broken, or the time is up (OB_WIRE_AGAIN). */
static enum ob_wire_step finish(int fd, struct ob_transfer *transfer,
                                enum ob_wire_step (*step)(int fd, struct ob_transfer *transfer),
                                short events, int64_t deadline)
{
    for (;;) {
        enum ob_wire_step result = step(fd, transfer);
        int64_t left = deadline - now_milliseconds();
        if (result != OB_WIRE_AGAIN || left <= 0)
            return result;
        struct pollfd wait = {.fd = fd, .events = events};
        poll(&wait, 1, (int)left);
    }
}

nt_status ob_service_exchange(int fd, const struct ob_message *request, struct ob_message *reply,
                              struct pe_error *err)
{
    const int64_t deadline = now_milliseconds() + OB_CALL_MILLISECONDS;
    struct ob_transfer transfer;
    *reply = (struct ob_message){0};
    ob_wire_start_send(&transfer, request);
    enum ob_wire_step result = finish(fd, &transfer, ob_wire_send, POLLOUT, deadline);
    if (result == OB_WIRE_DONE) {
        ob_wire_start_receive(&transfer, reply, OB_WIRE_MAX_REPLY);
        result = finish(fd, &transfer, ob_wire_receive, POLLIN, deadline);
    }
    if (result == OB_WIRE_AGAIN)
        return pe_fail(err, STATUS_IO_TIMEOUT, "a process did not answer within 10 seconds");
    if (result == OB_WIRE_BROKEN)
        return pe_fail(err, STATUS_PROCESS_IS_TERMINATING,
                       "a process broke the connection off instead of answering");
    if (!nt_ok(reply->status))
        return pe_fail(err, reply->status, "a process refused: %s", nt_status_text(reply->status));
    return reply->status;
}

static nt_status call(uint32_t id, int pidfd, const struct ob_message *request,
                      struct ob_message *reply, struct pe_error *err)
{
    int fd;
    *reply = (struct ob_message){0};
    if (ob_service_is_this_thread())
        return pe_fail(err, STATUS_NOT_SUPPORTED, "the service does not call other services");
    nt_status status = ob_service_connect(id, pidfd, OB_CALL_MILLISECONDS, &fd, err);
    if (!nt_ok(status))
        return status;
    status = ob_service_exchange(fd, request, reply, err);
    close(fd);
    return status;
}

nt_status ob_service_call(uint32_t process_id, const struct ob_message *request,
                          struct ob_message *reply, struct pe_error *err)
{
    return call(process_id, -1, request, reply, err);
}

nt_status ob_process_call(struct ob_object *process, const struct ob_message *request,
                          struct ob_message *reply, struct pe_error *err)
{
    struct ob_process_parts parts;
    *reply = (struct ob_message){0};
    nt_status status = ob_process_to_parts(process, &parts, err);
    if (!nt_ok(status))
        return status;
    status = ob_pidfd_ended(parts.pidfd) ? pe_fail(err, STATUS_PROCESS_IS_TERMINATING,
                                                   "process %u has ended", (unsigned)parts.id)
                                         : call(parts.id, parts.pidfd, request, reply, err);
    close(parts.pidfd);
    close(parts.record_fd);
    return status;
}
