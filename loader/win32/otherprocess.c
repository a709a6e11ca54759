/*
 * Processes by handle, and what a process tells others about itself (otherprocess.h).
 *
 * What the kernel knows comes from /proc; what only the process knows (image, handles, word size,
 * PEB) it is asked for (OB_REQUEST_INFO).
 */
#include "loader/win32/otherprocess.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/strings.h"

enum { INHERIT = 1 };

/* ---- handles ------------------------------------------------------------------------------------
 */

nt_status win32_process(HANDLE handle, uint32_t needed, struct ob_object **out)
{
    uint32_t access;
    if (handle == CURRENT_PROCESS) {
        *out = ob_process_current();
        return *out ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
    }
    nt_status status = ob_handle_get(win32_ob_handle(handle), &ob_process_type, out, &access);
    if (!nt_ok(status) || (access & needed) == needed)
        return status;
    ob_object_unref(*out);
    *out = NULL; /* a caller may release what it was given */
    return STATUS_ACCESS_DENIED;
}

bool win32_process_get(HANDLE handle, uint32_t needed, struct ob_object **out)
{
    return win32_result(win32_process(handle, needed, out));
}

/* The right to all of the information includes the right to some of it. */
static uint32_t map_access(uint32_t access)
{
    if (access & (GENERIC_ALL | MAXIMUM_ALLOWED))
        access |= PROCESS_ALL_ACCESS;
    if (access & GENERIC_READ)
        access |= PROCESS_QUERY_INFORMATION | PROCESS_VM_READ | 0x20000;
    if (access & GENERIC_WRITE)
        access |= 0x20BEA; /* everything that changes a process, and READ_CONTROL */
    if (access & GENERIC_EXECUTE)
        access |= 0x121001;
    if (access & PROCESS_QUERY_INFORMATION)
        access |= PROCESS_QUERY_LIMITED_INFORMATION;
    return access & PROCESS_ALL_ACCESS;
}

nt_status win32_process_open(uint32_t id, uint32_t access, bool inherit, HANDLE *out)
{
    struct ob_object *process;
    nt_status status = ob_process_open(id, &process, NULL);
    if (!nt_ok(status))
        return status;
    uint32_t handle = ob_handle_create(process, map_access(access), inherit ? INHERIT : 0);
    ob_object_unref(process);
    *out = win32_handle(handle);
    return handle ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

nt_status win32_process_terminate(struct ob_object *process, uint32_t code)
{
    if (ob_process_is_current(process))
        ke_process_terminate(code);
    return ob_process_terminate(process, code);
}

/* ---- what a process says ------------------------------------------------------------------------
 */

/* Followed by the image's path in UTF-16. Both word sizes read it. */
struct info {
    uint32_t word, handle_count, subsystem, path_units;
    uint64_t peb;
};

static nt_status count_handle(void *user, uint32_t handle, struct ob_object *object,
                              uint32_t access, uint32_t flags)
{
    ++*(uint32_t *)user;
    return STATUS_SUCCESS;
}

static void own_info(struct info *out)
{
    *out = (struct info){
        .word = sizeof(void *) * 8,
        .subsystem = ke_peb()->ImageSubsystem,
        .path_units = ke_peb()->ProcessParameters->ImagePathName.Length / sizeof(WCHAR),
        .peb = (uintptr_t)ke_peb(),
    };
    ob_handle_each(true, count_handle, &out->handle_count);
}

static void answer(struct ob_message *message, struct ob_message *reply)
{
    struct info info;
    if (!ke_peb()) {
        reply->status = STATUS_UNSUCCESSFUL;
        return;
    }
    const WCHAR *path = ke_peb()->ProcessParameters->ImagePathName.Buffer;
    own_info(&info);
    uint32_t size = (uint32_t)(sizeof(info) + info.path_units * sizeof(WCHAR));
    uint8_t *bytes = malloc(size);
    if (!bytes) {
        reply->status = STATUS_NO_MEMORY;
        return;
    }
    memcpy(bytes, &info, sizeof(info));
    memcpy(bytes + sizeof(info), path, info.path_units * sizeof(WCHAR));
    reply->bytes = bytes;
    reply->size = size;
}

void win32_process_info_register(void)
{
    ob_service_register(OB_REQUEST_INFO, answer);
}

static nt_status parse_info(const struct ob_message *reply, struct win32_process_info *out)
{
    struct info info;
    if (!ob_message_get(reply, &info, sizeof(info)) ||
        (reply->size - sizeof(info)) / sizeof(WCHAR) < info.path_units)
        return STATUS_UNSUCCESSFUL;
    *out = (struct win32_process_info){
        .word = info.word,
        .handle_count = info.handle_count,
        .subsystem = info.subsystem,
        .peb = info.peb,
        .image_path = calloc(info.path_units + 1u, sizeof(WCHAR)),
    };
    if (!out->image_path)
        return STATUS_NO_MEMORY;
    memcpy(out->image_path, reply->bytes + sizeof(info), info.path_units * sizeof(WCHAR));
    return STATUS_SUCCESS;
}

nt_status win32_process_info(struct ob_object *process, struct win32_process_info *out)
{
    struct ob_message request = {.request = OB_REQUEST_INFO}, reply = {0};
    nt_status status = STATUS_SUCCESS;
    if (ob_process_is_current(process)) {
        answer(&request, &reply);
        status = reply.status;
    } else {
        status = ob_process_call(process, &request, &reply, NULL);
    }
    if (nt_ok(status))
        status = parse_info(&reply, out);
    ob_message_release(&reply);
    return status;
}

void win32_process_info_free(struct win32_process_info *info)
{
    free(info->image_path);
    info->image_path = NULL;
}

/* ---- what the kernel knows ----------------------------------------------------------------------
 */

/* Fields of /proc/ID/stat from the third on; false when there is no such process. */
static bool read_stat(uint32_t id, long long *fields, int count)
{
    char name[64], line[1024];
    snprintf(name, sizeof(name), "/proc/%u/stat", (unsigned)id);
    FILE *file = fopen(name, "re");
    size_t got = file ? fread(line, 1, sizeof(line) - 1, file) : 0;
    if (file)
        fclose(file);
    line[got] = 0;
    char *at = strrchr(line, ')'); /* the name may hold anything */
    if (!at || strlen(at) < 4)
        return false;
    fields[0] = at[2];
    at += 3;
    for (int i = 1; i < count; i++)
        fields[i] = strtoll(at, &at, 10);
    return true;
}

enum { STAT_PARENT = 1, STAT_USER = 11, STAT_KERNEL = 12, STAT_THREADS = 17, STAT_COUNT };

void win32_process_cpu_times(struct ob_object *process, int64_t *kernel, int64_t *user)
{
    long long fields[STAT_COUNT];
    int64_t tick = WIN32_TICKS / sysconf(_SC_CLK_TCK);
    bool runs = ob_process_is_current(process) || ob_process_exit_code(process) == OB_STILL_ACTIVE;
    *kernel = *user = 0;
    if (runs && read_stat(ob_process_id(process), fields, STAT_COUNT)) {
        *kernel = fields[STAT_KERNEL] * tick;
        *user = fields[STAT_USER] * tick;
    }
}

uint32_t win32_process_parent(uint32_t id)
{
    long long fields[STAT_COUNT];
    return read_stat(id, fields, STAT_COUNT) ? (uint32_t)fields[STAT_PARENT] : 0;
}

uint32_t win32_process_thread_count(uint32_t id)
{
    long long fields[STAT_COUNT];
    return read_stat(id, fields, STAT_COUNT) ? (uint32_t)fields[STAT_THREADS] : 0;
}

static nt_status copy(struct ob_object *process, struct iovec *there, struct iovec *here,
                      bool writes)
{
    pid_t id = (pid_t)ob_process_id(process);
    if (!ob_process_is_current(process) && ob_process_exit_code(process) != OB_STILL_ACTIVE)
        return STATUS_PROCESS_IS_TERMINATING;
    ssize_t done = writes ? process_vm_writev(id, here, 1, there, 1, 0)
                          : process_vm_readv(id, here, 1, there, 1, 0);
    if (done >= 0 && (size_t)done == here->iov_len)
        return STATUS_SUCCESS;
    if (done < 0 && (errno == EPERM || errno == ESRCH))
        return STATUS_ACCESS_DENIED;
    return writes ? (nt_status)STATUS_ACCESS_VIOLATION : (nt_status)STATUS_PARTIAL_COPY;
}

nt_status win32_process_copy(HANDLE handle, const void *address, const void *buffer, SIZE_T size,
                             bool writes, SIZE_T *moved)
{
    struct iovec here = {(void *)(uintptr_t)buffer, size};
    struct iovec there = {(void *)(uintptr_t)address, size};
    uint32_t needed = writes ? PROCESS_VM_OPERATION | PROCESS_VM_WRITE : PROCESS_VM_READ;
    struct ob_object *process;
    *moved = 0;
    nt_status status = win32_process(handle, needed, &process);
    if (!nt_ok(status))
        return status;
    status = copy(process, &there, &here, writes);
    if (nt_ok(status))
        *moved = size;
    ob_object_unref(process);
    return status;
}
