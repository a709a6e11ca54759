/*
 * How process objects get from one process to another: by introduction, a process answering for
 * itself, and in parcels (process.h, parcel.h).
 */
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "loader/ob/duplicate.h"
#include "loader/ob/process_object.h"
#include "loader/ob/wire.h"

/* ---- introduction -------------------------------------------------------------------------------
 */

/* Asks the process itself. Its answer comes after pidfd_open(2), so the pidfd means who answered.
 */
nt_status ob_process_introduce(uint32_t id, int connection, struct ob_process_parts *parts,
                               struct pe_error *err)
{
    const struct ob_message request = {.request = OB_REQUEST_PROCESS};
    struct ob_process_introduction introduction = {0};
    struct ob_message reply;
    *parts = (struct ob_process_parts){id, 0, pidfd_open((pid_t)id, 0), -1};
    nt_status status = ob_service_exchange(connection, &request, &reply, err);
    if (nt_ok(status) && parts->pidfd < 0)
        status = pe_fail(err, STATUS_INVALID_CID, "process %u has ended", (unsigned)id);
    if (nt_ok(status) && (reply.size != sizeof introduction || reply.fd_count != 1 ||
                          !ob_process_record_check(reply.fds[0])))
        status =
            pe_fail(err, STATUS_INVALID_CID, "process %u introduces itself wrongly", (unsigned)id);
    if (nt_ok(status)) {
        memcpy(&introduction, reply.bytes, sizeof introduction);
        parts->start = introduction.start;
        parts->record_fd = reply.fds[0];
        reply.fds[0] = -1;
    }
    ob_message_release(&reply);
    if (!nt_ok(status))
        ob_process_close_parts(parts);
    return status;
}

void ob_answer_process(struct ob_message *request, struct ob_message *reply)
{
    struct ob_object *current = ob_process_current();
    struct ob_process_parts parts = {.pidfd = -1, .record_fd = -1};
    reply->status =
        current ? ob_process_to_parts(current, &parts, NULL) : (nt_status)STATUS_NO_MEMORY;
    if (current)
        ob_object_unref(current);
    if (!nt_ok(reply->status))
        return;
    const struct ob_process_introduction introduction = {.start = parts.start,
                                                         .word_size = sizeof(void *) * 8};
    reply->status = ob_message_set(reply, &introduction, sizeof introduction);
    reply->fds[reply->fd_count++] = parts.record_fd;
    close(parts.pidfd);
}

/* ---- parcels ------------------------------------------------------------------------------------
 */

enum { RECORD_FD, PIDFD, PARCEL_FDS };

/* Alike in both word sizes. */
struct process_parcel {
    uint64_t start;
    uint32_t id;
    uint32_t reserved;
};

static nt_status pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err)
{
    struct ob_process_parts parts;
    nt_status status = ob_process_to_parts(object, &parts, err);
    if (!nt_ok(status))
        return status;
    const struct process_parcel content = {.start = parts.start, .id = parts.id};
    memcpy(parcel->data, &content, sizeof content);
    parcel->size = sizeof content;
    parcel->fd_count = PARCEL_FDS;
    parcel->fds[RECORD_FD] = parts.record_fd;
    parcel->fds[PIDFD] = parts.pidfd;
    return STATUS_SUCCESS;
}

/* The id behind a pidfd, -1 when that process was reaped; 0 for another kind of descriptor. */
static int64_t pidfd_id(int fd)
{
    char path[40], line[128];
    long long id = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    while (info && fgets(line, sizeof line, info))
        if (sscanf(line, "Pid: %lld", &id) == 1)
            break;
    if (info)
        fclose(info);
    return id;
}

static nt_status unpack(const struct ob_parcel *parcel, struct ob_object **out,
                        struct pe_error *err)
{
    struct process_parcel content = {0};
    struct ob_parcel refused = *parcel;
    bool is_sound = parcel->size == sizeof content && parcel->fd_count == PARCEL_FDS &&
                    ob_process_record_check(parcel->fds[RECORD_FD]);
    if (is_sound) {
        memcpy(&content, parcel->data, sizeof content);
        int64_t id = pidfd_id(parcel->fds[PIDFD]);
        is_sound = content.id != 0 && (id == -1 || id == (int64_t)content.id);
    }
    if (!is_sound) {
        ob_parcel_discard(&refused);
        return pe_fail(err, STATUS_INVALID_PARAMETER, "a malformed process object from a process");
    }
    uint64_t start = ob_process_start(content.id);
    struct ob_process_parts parts = {content.id, content.start, parcel->fds[PIDFD],
                                     parcel->fds[RECORD_FD]};
    if (start != 0 && !ob_pidfd_ended(parts.pidfd))
        parts.start = start;
    return ob_process_from_parts(&parts, out, err);
}

const struct ob_courier ob_process_courier = {.pack = pack, .unpack = unpack};
