/*
 * Asking another process about itself, and reading what it says: every byte may be wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/peldr_walk.h"

/* ---- whom ---- */

/* Field 3 of /proc/PID/stat, behind the name in parentheses: 'T' and 't' are stopped. */
static char state_of(uint32_t id)
{
    char path[32], text[512] = "", *name_end;
    snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)id);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' ? name_end[2] : 0;
}

/* Says why a process cannot be asked, where the kernel knows. */
static nt_status check_process(uint32_t id, struct pe_error *err)
{
    char path[32];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%u", (unsigned)id);
    if (id == 0 || stat(path, &st) != 0)
        return pe_fail(err, STATUS_INVALID_CID, "there is no process %u", (unsigned)id);
    if (st.st_uid != geteuid())
        return pe_fail(err, STATUS_ACCESS_DENIED,
                       "process %u belongs to user %u: only that user can look at it", (unsigned)id,
                       (unsigned)st.st_uid);
    switch (state_of(id)) {
    case 'T':
    case 't':
        return pe_fail(err, STATUS_IO_TIMEOUT, "process %u is stopped and cannot answer",
                       (unsigned)id);
    case 'Z':
    case 'X':
        return pe_fail(err, STATUS_INVALID_CID, "process %u has ended", (unsigned)id);
    default:
        return STATUS_SUCCESS;
    }
}

static nt_status ask(uint32_t id, enum ob_request request, struct ob_message *reply,
                     struct pe_error *err)
{
    struct ob_message message = {.request = request};
    nt_status status = check_process(id, err);
    *reply = (struct ob_message){0};
    if (!nt_ok(status))
        return status;
    if (id != (uint32_t)getpid()) {
        struct pe_error why = {0};
        status = ob_service_call(id, &message, reply, &why);
        if (status == (nt_status)STATUS_INVALID_CID)
            return pe_fail(err, status, "peldr does not run in process %u", (unsigned)id);
        return nt_ok(status) ? status : pe_fail(err, status, "%s", why.text);
    }
    if (request == OB_REQUEST_REGIONS)
        peldr_answer_regions(&message, reply);
    else
        peldr_answer_modules(&message, reply);
    return nt_ok(reply->status) ? STATUS_SUCCESS
                                : pe_fail(err, reply->status, "%s", nt_status_text(reply->status));
}

nt_status peldr_walk_ask(uint32_t id, enum ob_request request, struct walk_reader *reader,
                         struct pe_error *err)
{
    const uint32_t magic = request == OB_REQUEST_REGIONS ? WALK_REGIONS_MAGIC : WALK_MODULES_MAGIC;
    struct walk_header header = {0};
    *reader = (struct walk_reader){.at = sizeof header};
    nt_status status = ask(id, request, &reader->reply, err);
    if (nt_ok(status) &&
        (!ob_message_get(&reader->reply, &header, sizeof header) || header.magic != magic))
        status = pe_fail(err, STATUS_DATA_ERROR, "process %u runs another version of peldr",
                         (unsigned)id);
    if (!nt_ok(status))
        peldr_walk_close(reader);
    reader->left = header.count;
    return status;
}

void peldr_walk_close(struct walk_reader *reader)
{
    ob_message_release(&reader->reply);
}

/* ---- what it says ---- */

static bool take(struct walk_reader *reader, void *out, uint32_t size)
{
    if (size > reader->reply.size - reader->at)
        return false;
    memcpy(out, reader->reply.bytes + reader->at, size);
    reader->at += size;
    return true;
}

/* A string that another process chose goes to terminals: no control characters. */
static bool take_text(struct walk_reader *reader, uint32_t size, char *out, uint32_t room)
{
    if (size > reader->reply.size - reader->at)
        return false;
    uint32_t length = size < room ? size : room - 1;
    for (uint32_t i = 0; i < length; i++) {
        uint8_t c = reader->reply.bytes[reader->at + i];
        out[i] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    out[length] = '\0';
    reader->at += size;
    return true;
}

bool peldr_walk_next_region(struct walk_reader *reader, struct walk_region *out, char *name,
                            uint32_t name_room)
{
    if (reader->left == 0 || !take(reader, out, sizeof *out) ||
        !take_text(reader, out->name_size, name, name_room) || out->size == 0 ||
        out->size > UINT64_MAX - out->base || out->base < reader->end)
        return false;
    reader->end = out->base + out->size;
    reader->left--;
    return true;
}

bool peldr_walk_next_module(struct walk_reader *reader, struct walk_module *out, char *name,
                            uint32_t name_room, char *path, uint32_t path_room)
{
    if (reader->left == 0 || !take(reader, out, sizeof *out) ||
        !take_text(reader, out->name_size, name, name_room) ||
        !take_text(reader, out->path_size, path, path_room) || out->size > UINT64_MAX - out->base)
        return false;
    reader->left--;
    return true;
}
