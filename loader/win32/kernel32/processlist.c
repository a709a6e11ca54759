/*
 * The processes in which peldr runs, as lists: K32EnumProcesses and the snapshots of the tool help
 * library (tlhelp32.h). Others do not exist for images.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "loader/win32/createprocess.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/strings.h"

enum { MOST_PROCESSES = 32768 };

static BOOL WINAPI_DEF k32_K32EnumProcesses(DWORD *out, DWORD size, DWORD *needed)
{
    if (!out || !needed)
        return win32_fail(ERROR_NOACCESS);
    *needed = ob_process_list(out, size / sizeof(DWORD)) * (DWORD)sizeof(DWORD);
    return TRUE;
}

/* The path, as there is only one form of it here. */
static DWORD image_file_name(HANDLE handle, WCHAR **path)
{
    struct win32_process_info info;
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return 0;
    nt_status status = win32_process_info(process, &info);
    ob_object_unref(process);
    if (!win32_result(status))
        return 0;
    *path = info.image_path;
    return (DWORD)win32_wlen(*path);
}

static DWORD WINAPI_DEF k32_K32GetProcessImageFileNameW(HANDLE process, WCHAR *buffer, DWORD size)
{
    WCHAR *path;
    DWORD length = image_file_name(process, &path);
    if (!length)
        return 0;
    bool fits = win32_return_wide(path, length, buffer, size) <= length;
    free(path);
    return fits ? length : (DWORD)win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

static DWORD WINAPI_DEF k32_K32GetProcessImageFileNameA(HANDLE process, char *buffer, DWORD size)
{
    WCHAR *path;
    DWORD length = image_file_name(process, &path);
    if (!length)
        return 0;
    bool fits = win32_return_path(path, length, buffer, size) <= length;
    free(path);
    return fits ? length : (DWORD)win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

/* ---- snapshots ----------------------------------------------------------------------------------
 */

struct process_entry { /* PROCESSENTRY32W */
    DWORD dwSize, cntUsage, th32ProcessID;
    ULONG_PTR th32DefaultHeapID;
    DWORD th32ModuleID, cntThreads, th32ParentProcessID;
    LONG pcPriClassBase;
    DWORD dwFlags;
    WCHAR szExeFile[MAX_PATH];
};

struct process_entry_a {
    DWORD dwSize, cntUsage, th32ProcessID;
    ULONG_PTR th32DefaultHeapID;
    DWORD th32ModuleID, cntThreads, th32ParentProcessID;
    LONG pcPriClassBase;
    DWORD dwFlags;
    char szExeFile[MAX_PATH];
};

struct snapshot {
    struct ob_object header;
    uint32_t count, next;
    struct process_entry *entries; /* malloc'ed */
};

static void destroy_snapshot(struct ob_object *object)
{
    free(((struct snapshot *)object)->entries);
}

static const struct ob_type snapshot_type = {.name = "Snapshot", .destroy = destroy_snapshot};

static LONG base_priority(DWORD class)
{
    static const struct {
        DWORD class;
        LONG base;
    } bases[] = {{0x40, 4}, {0x4000, 6}, {0x8000, 10}, {0x80, 13}, {0x100, 24}};
    for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
        if (bases[i].class == class)
            return bases[i].base;
    }
    return 8;
}

/* False when the process has ended meanwhile. */
static bool fill_entry(uint32_t id, struct process_entry *out)
{
    struct win32_process_info info;
    struct ob_object *process;
    if (!nt_ok(ob_process_open(id, &process, NULL)))
        return false;
    nt_status status = win32_process_info(process, &info);
    ob_object_unref(process);
    if (!nt_ok(status))
        return false;
    const WCHAR *name = info.image_path;
    for (const WCHAR *at = name; *at; at++) {
        if (*at == '\\')
            name = at + 1;
    }
    *out = (struct process_entry){
        .th32ProcessID = id,
        .cntThreads = win32_process_thread_count(id),
        .th32ParentProcessID = win32_process_parent(id),
        .pcPriClassBase = base_priority(win32_priority_class(getpriority(PRIO_PROCESS, id))),
    };
    size_t length = win32_wlen(name);
    memcpy(out->szExeFile, name, (length < MAX_PATH ? length : MAX_PATH - 1) * sizeof(WCHAR));
    win32_process_info_free(&info);
    return true;
}

static bool fill_snapshot(struct snapshot *snapshot)
{
    uint32_t *ids = malloc(MOST_PROCESSES * sizeof(*ids));
    uint32_t count = ids ? ob_process_list(ids, MOST_PROCESSES) : 0;
    if (count > MOST_PROCESSES)
        count = MOST_PROCESSES;
    snapshot->entries = calloc(count + 1u, sizeof(*snapshot->entries));
    for (uint32_t i = 0; i < count && snapshot->entries; i++)
        snapshot->count += fill_entry(ids[i], &snapshot->entries[snapshot->count]);
    free(ids);
    return ids && snapshot->entries;
}

/* Modules, threads and heaps are not listed: asking for nothing but them is refused. */
static HANDLE WINAPI_DEF k32_CreateToolhelp32Snapshot(DWORD flags, DWORD id)
{
    enum { SNAP_ALL = 0xF, SNAP_PROCESS = 2 };
    const DWORD snap_inherit = 0x80000000u;
    struct snapshot *snapshot = NULL;
    uint32_t handle = 0;
    if (!(flags & SNAP_PROCESS) || (flags & ~(SNAP_ALL | 0x10 | snap_inherit))) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    snapshot = ob_object_create(&snapshot_type, sizeof(*snapshot));
    if (snapshot && fill_snapshot(snapshot))
        handle =
            ob_handle_create(&snapshot->header, PROCESS_ALL_ACCESS, flags & snap_inherit ? 1 : 0);
    if (snapshot)
        ob_object_unref(&snapshot->header);
    if (handle)
        return win32_handle(handle);
    win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    return INVALID_HANDLE_VALUE;
}

static BOOL give_entry(HANDLE handle, struct process_entry *out, bool first)
{
    struct ob_object *object;
    if (out->dwSize < sizeof(*out))
        return win32_fail(ERROR_BAD_LENGTH);
    if (!win32_result(ob_handle_get(win32_ob_handle(handle), &snapshot_type, &object, NULL)))
        return FALSE;
    struct snapshot *snapshot = (struct snapshot *)object;
    uint32_t at = first ? 0 : __atomic_fetch_add(&snapshot->next, 1, __ATOMIC_RELAXED);
    if (first)
        __atomic_store_n(&snapshot->next, 1, __ATOMIC_RELAXED);
    bool found = at < snapshot->count;
    if (found) {
        *out = snapshot->entries[at];
        out->dwSize = sizeof(*out);
    }
    ob_object_unref(object);
    return found || win32_fail(ERROR_NO_MORE_FILES);
}

static BOOL give_entry_a(HANDLE handle, struct process_entry_a *out, bool first)
{
    struct process_entry wide = {.dwSize = sizeof(wide)};
    if (out->dwSize < sizeof(*out))
        return win32_fail(ERROR_BAD_LENGTH);
    if (!give_entry(handle, &wide, first))
        return FALSE;
    memcpy(out, &wide, offsetof(struct process_entry_a, szExeFile));
    out->dwSize = sizeof(*out);
    win32_return_ansi(wide.szExeFile, win32_wlen(wide.szExeFile), out->szExeFile, MAX_PATH);
    return TRUE;
}

static BOOL WINAPI_DEF k32_Process32FirstW(HANDLE snapshot, struct process_entry *out)
{
    return give_entry(snapshot, out, true);
}

static BOOL WINAPI_DEF k32_Process32NextW(HANDLE snapshot, struct process_entry *out)
{
    return give_entry(snapshot, out, false);
}

static BOOL WINAPI_DEF k32_Process32First(HANDLE snapshot, struct process_entry_a *out)
{
    return give_entry_a(snapshot, out, true);
}

static BOOL WINAPI_DEF k32_Process32Next(HANDLE snapshot, struct process_entry_a *out)
{
    return give_entry_a(snapshot, out, false);
}

const struct ldr_builtin_export kernel32_processlist_exports[] = {
    LDR_FN(k32_, K32EnumProcesses),
    LDR_FN(k32_, K32GetProcessImageFileNameA),
    LDR_FN(k32_, K32GetProcessImageFileNameW),
    LDR_FN(k32_, CreateToolhelp32Snapshot),
    LDR_FN(k32_, Process32First),
    LDR_FN(k32_, Process32FirstW),
    LDR_FN(k32_, Process32Next),
    LDR_FN(k32_, Process32NextW),
};
const size_t kernel32_processlist_count =
    sizeof(kernel32_processlist_exports) / sizeof(*kernel32_processlist_exports);
