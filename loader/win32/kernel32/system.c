/*
 * The machine and the system: processors, memory, version, directories, names.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/version.h"

/* ---- processors
 * ----------------------------------------------------------------------------------- */

struct system_info {
    WORD wProcessorArchitecture, wReserved;
    DWORD dwPageSize;
    void *lpMinimumApplicationAddress, *lpMaximumApplicationAddress;
    DWORD_PTR dwActiveProcessorMask;
    DWORD dwNumberOfProcessors, dwProcessorType, dwAllocationGranularity;
    WORD wProcessorLevel, wProcessorRevision;
};

static DWORD processor_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    DWORD limit = 8 * sizeof(DWORD_PTR); /* of a processor group */
    return count < 1 ? 1 : (DWORD)count > limit ? limit : (DWORD)count;
}

static void WINAPI_DEF k32_GetSystemInfo(struct system_info *out)
{
    bool x64 = sizeof(void *) == 8;
    memset(out, 0, sizeof(*out));
    out->wProcessorArchitecture = x64 ? 9 : 0; /* AMD64, INTEL */
    out->dwPageSize = 0x1000;
    out->lpMinimumApplicationAddress = (void *)0x10000;
    out->lpMaximumApplicationAddress = (void *)(uintptr_t)(x64 ? 0x7FFFFFFEFFFFull : 0x7FFEFFFFull);
    out->dwActiveProcessorMask = ke_peb()->ActiveProcessAffinityMask;
    out->dwNumberOfProcessors = processor_count();
    out->dwProcessorType = x64 ? 8664 : 586;
    out->dwAllocationGranularity = 0x10000;
    out->wProcessorLevel = 6;
}

static BOOL WINAPI_DEF k32_IsProcessorFeaturePresent(DWORD feature)
{
    return ke_processor_feature(feature);
}

static DWORD WINAPI_DEF k32_GetCurrentProcessorNumber(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? 0 : (DWORD)cpu;
}

/* Only group 0 and "all groups" exist. */
static bool is_group(WORD group)
{
    return group == 0 || group == 0xFFFF;
}

static DWORD WINAPI_DEF k32_GetActiveProcessorCount(WORD group)
{
    return is_group(group) ? processor_count() : (DWORD)win32_fail(ERROR_INVALID_PARAMETER);
}

static DWORD WINAPI_DEF k32_GetMaximumProcessorCount(WORD group)
{
    return k32_GetActiveProcessorCount(group);
}

static WORD WINAPI_DEF k32_GetActiveProcessorGroupCount(void)
{
    return 1;
}

static BOOL WINAPI_DEF k32_GetNumaHighestNodeNumber(ULONG *node)
{
    *node = 0;
    return TRUE;
}

/* ---- logical processors: one core each, one package, one NUMA node, one group
 * -------------------------- */

enum { RELATION_CORE, RELATION_NUMA_NODE, RELATION_CACHE, RELATION_PACKAGE, RELATION_GROUP };
#define RELATION_ALL 0xFFFF

struct logical_processor {
    ULONG_PTR ProcessorMask;
    DWORD Relationship;
    uint64_t detail[2] __attribute__((aligned(8)));
};

static DWORD_PTR all_processors(DWORD count)
{
    return count >= 8 * sizeof(DWORD_PTR) ? ~(DWORD_PTR)0 : ((DWORD_PTR)1 << count) - 1;
}

static BOOL WINAPI_DEF k32_GetLogicalProcessorInformation(struct logical_processor *out,
                                                          DWORD *size)
{
    DWORD count = processor_count(), needed = (count + 2) * (DWORD)sizeof(*out);
    DWORD room = *size;
    *size = needed;
    if (room < needed)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    memset(out, 0, needed);
    for (DWORD i = 0; i < count; i++) {
        out[i].ProcessorMask = (ULONG_PTR)1 << i;
        out[i].Relationship = RELATION_CORE;
    }
    out[count].ProcessorMask = out[count + 1].ProcessorMask = all_processors(count);
    out[count].Relationship = RELATION_NUMA_NODE;
    out[count + 1].Relationship = RELATION_PACKAGE;
    return TRUE;
}

struct group_affinity {
    ULONG_PTR Mask;
    WORD Group, Reserved[3];
};

/* SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX, in the forms that are written here. */
struct logical_processor_ex {
    DWORD Relationship, Size;
    union {
        struct {
            BYTE Flags, EfficiencyClass, Reserved[20];
            WORD GroupCount;
            struct group_affinity GroupMask;
        } processor;
        struct {
            DWORD NodeNumber;
            BYTE Reserved[18];
            WORD GroupCount;
            struct group_affinity GroupMask;
        } node;
        struct {
            WORD MaximumGroupCount, ActiveGroupCount;
            BYTE Reserved[20];
            BYTE MaximumProcessorCount, ActiveProcessorCount, GroupReserved[38];
            ULONG_PTR ActiveProcessorMask;
        } group;
    } u;
};

#define EX_HEADER offsetof(struct logical_processor_ex, u)

static const DWORD ex_sizes[] = {
    [RELATION_CORE] = EX_HEADER + sizeof(((struct logical_processor_ex *)0)->u.processor),
    [RELATION_NUMA_NODE] = EX_HEADER + sizeof(((struct logical_processor_ex *)0)->u.node),
    [RELATION_PACKAGE] = EX_HEADER + sizeof(((struct logical_processor_ex *)0)->u.processor),
    [RELATION_GROUP] = EX_HEADER + sizeof(((struct logical_processor_ex *)0)->u.group),
};

/* Writes one entry behind `*used` when there is room; counts it always. */
static void put_entry(DWORD relation, DWORD_PTR mask, char *out, DWORD room, DWORD *used)
{
    struct logical_processor_ex entry;
    DWORD size = ex_sizes[relation];
    memset(&entry, 0, sizeof(entry));
    entry.Relationship = relation;
    entry.Size = size;
    if (relation == RELATION_GROUP) {
        entry.u.group.MaximumGroupCount = entry.u.group.ActiveGroupCount = 1;
        entry.u.group.MaximumProcessorCount = (BYTE)processor_count();
        entry.u.group.ActiveProcessorCount = (BYTE)processor_count();
        entry.u.group.ActiveProcessorMask = mask;
    } else if (relation == RELATION_NUMA_NODE) {
        entry.u.node.GroupCount = 1;
        entry.u.node.GroupMask.Mask = mask;
    } else {
        entry.u.processor.GroupCount = 1;
        entry.u.processor.GroupMask.Mask = mask;
    }
    if (*used + size <= room)
        memcpy(out + *used, &entry, size);
    *used += size;
}

static BOOL WINAPI_DEF k32_GetLogicalProcessorInformationEx(DWORD relation, char *out, DWORD *size)
{
    DWORD count = processor_count(), used = 0, room = *size;
    DWORD_PTR all = all_processors(count);
    if (relation > RELATION_GROUP && relation != RELATION_ALL)
        return win32_fail(ERROR_INVALID_PARAMETER);
    for (DWORD i = 0; i < count && (relation == RELATION_CORE || relation == RELATION_ALL); i++)
        put_entry(RELATION_CORE, (DWORD_PTR)1 << i, out, room, &used);
    for (DWORD i = RELATION_NUMA_NODE; i <= RELATION_GROUP; i++) {
        /* The caches are not looked up. */
        if (i != RELATION_CACHE && (relation == i || relation == RELATION_ALL))
            put_entry(i, all, out, room, &used);
    }
    *size = used;
    return used <= room || win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

/* XCR0 where the system has enabled XSAVE; else x87 and SSE. */
static ULONGLONG WINAPI_DEF k32_GetEnabledXStateFeatures(void)
{
    uint32_t low, high;
    if (!ke_processor_feature(17)) /* PF_XSAVE_ENABLED */
        return 3;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (ULONGLONG)high << 32 | low;
}

/* ---- memory
 * -------------------------------------------------------------------------------------------- */

struct memory_status_ex {
    DWORD dwLength, dwMemoryLoad;
    uint64_t ullTotalPhys, ullAvailPhys, ullTotalPageFile, ullAvailPageFile, ullTotalVirtual,
        ullAvailVirtual, ullAvailExtendedVirtual;
};

static uint64_t meminfo(const char *key)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), ": %llu", &kib) == 1)
            break;
    }
    if (file)
        fclose(file);
    return kib * 1024;
}

static void memory_status(struct memory_status_ex *out)
{
    uint64_t swap = meminfo("SwapTotal"), swap_free = meminfo("SwapFree");
    out->ullTotalPhys = meminfo("MemTotal");
    out->ullAvailPhys = meminfo("MemAvailable");
    out->dwMemoryLoad =
        out->ullTotalPhys
            ? (DWORD)(100 * (out->ullTotalPhys - out->ullAvailPhys) / out->ullTotalPhys)
            : 0;
    out->ullTotalPageFile = out->ullTotalPhys + swap;
    out->ullAvailPageFile = out->ullAvailPhys + swap_free;
    out->ullTotalVirtual = sizeof(void *) == 8 ? 0x7FFFFFFE0000ull : 0x7FFE0000ull;
    out->ullAvailVirtual = out->ullTotalVirtual;
    out->ullAvailExtendedVirtual = 0;
}

static BOOL WINAPI_DEF k32_GlobalMemoryStatusEx(struct memory_status_ex *out)
{
    if (out->dwLength != sizeof(*out))
        return win32_fail(ERROR_INVALID_PARAMETER);
    memory_status(out);
    return TRUE;
}

struct memory_status {
    DWORD dwLength, dwMemoryLoad;
    SIZE_T dwTotalPhys, dwAvailPhys, dwTotalPageFile, dwAvailPageFile, dwTotalVirtual,
        dwAvailVirtual;
};

/* In 32 bits the old form says at most what 2 GiB can hold. */
static SIZE_T clamp(uint64_t bytes)
{
    uint64_t top = sizeof(void *) == 8 ? UINT64_MAX : 0x7FFFFFFF;
    return (SIZE_T)(bytes < top ? bytes : top);
}

static void WINAPI_DEF k32_GlobalMemoryStatus(struct memory_status *out)
{
    struct memory_status_ex now;
    memory_status(&now);
    out->dwLength = sizeof(*out);
    out->dwMemoryLoad = now.dwMemoryLoad;
    out->dwTotalPhys = clamp(now.ullTotalPhys);
    out->dwAvailPhys = clamp(now.ullAvailPhys);
    out->dwTotalPageFile = clamp(now.ullTotalPageFile);
    out->dwAvailPageFile = clamp(now.ullAvailPageFile);
    out->dwTotalVirtual = clamp(now.ullTotalVirtual);
    out->dwAvailVirtual = clamp(now.ullAvailVirtual);
}

static BOOL WINAPI_DEF k32_GetPhysicallyInstalledSystemMemory(ULONGLONG *kib)
{
    *kib = meminfo("MemTotal") / 1024;
    return TRUE;
}

/* ---- version
 * --------------------------------------------------------------------------------------------- */

static DWORD WINAPI_DEF k32_GetVersion(void)
{
    return win32_version_number();
}

static BOOL WINAPI_DEF k32_GetVersionExW(struct win32_version_info *out)
{
    return win32_get_version(out) || win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

struct version_info_a {
    DWORD numbers[5];
    char service_pack[128];
    DWORD tail[2];
};

static BOOL WINAPI_DEF k32_GetVersionExA(struct version_info_a *out)
{
    bool is_short = out->numbers[0] == offsetof(struct version_info_a, tail);
    struct win32_version_info wide = {.size = sizeof(wide)};
    if (!is_short && out->numbers[0] != sizeof(*out))
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    win32_get_version(&wide);
    DWORD size = out->numbers[0];
    memcpy(out->numbers, &wide, sizeof(out->numbers));
    out->numbers[0] = size;
    for (size_t i = 0; i < sizeof(out->service_pack); i++)
        out->service_pack[i] = (char)wide.service_pack[i];
    if (!is_short)
        memcpy(out->tail, &wide.service_pack_major, sizeof(out->tail));
    return TRUE;
}

static BOOL verify(const struct win32_version_info *wanted, DWORD types, ULONGLONG conditions)
{
    uint32_t error = win32_verify_version(wanted, types, conditions);
    return error ? win32_fail(error) : TRUE;
}

static BOOL WINAPI_DEF k32_VerifyVersionInfoW(const struct win32_version_info *wanted, DWORD types,
                                              ULONGLONG conditions)
{
    return verify(wanted, types, conditions);
}

static BOOL WINAPI_DEF k32_VerifyVersionInfoA(const struct version_info_a *wanted, DWORD types,
                                              ULONGLONG conditions)
{
    struct win32_version_info wide = {0};
    memcpy(&wide, wanted->numbers, sizeof(wanted->numbers));
    memcpy(&wide.service_pack_major, wanted->tail, sizeof(wanted->tail));
    return verify(&wide, types, conditions);
}

/* ---- directories and names
 * ----------------------------------------------------------------------------------- */

static UINT return_ascii_w(const char *text, WCHAR *buffer, UINT size)
{
    WCHAR wide[MAX_PATH];
    size_t length = 0;
    for (; text[length] && length + 1 < MAX_PATH; length++)
        wide[length] = (uint8_t)text[length];
    return win32_return_wide(wide, length, buffer, size);
}

static UINT return_ascii_a(const char *text, char *buffer, UINT size)
{
    size_t length = strlen(text);
    if (length < size)
        memcpy(buffer, text, length + 1);
    return (UINT)(length < size ? length : length + 1);
}

#define WINDOWS_DIRECTORY "C:\\Windows"
#define SYSTEM_DIRECTORY  "C:\\Windows\\System32"

static UINT WINAPI_DEF k32_GetSystemDirectoryW(WCHAR *buffer, UINT size)
{
    return return_ascii_w(SYSTEM_DIRECTORY, buffer, size);
}

static UINT WINAPI_DEF k32_GetSystemDirectoryA(char *buffer, UINT size)
{
    return return_ascii_a(SYSTEM_DIRECTORY, buffer, size);
}

static UINT WINAPI_DEF k32_GetWindowsDirectoryW(WCHAR *buffer, UINT size)
{
    return return_ascii_w(WINDOWS_DIRECTORY, buffer, size);
}

static UINT WINAPI_DEF k32_GetWindowsDirectoryA(char *buffer, UINT size)
{
    return return_ascii_a(WINDOWS_DIRECTORY, buffer, size);
}

/* There is no WOW64 here: ERROR_CALL_NOT_IMPLEMENTED, as on a system without it. */
static UINT WINAPI_DEF k32_GetSystemWow64DirectoryW(WCHAR *buffer, UINT size)
{
    return (UINT)win32_fail(ERROR_CALL_NOT_IMPLEMENTED);
}

static UINT WINAPI_DEF k32_GetSystemWow64DirectoryA(char *buffer, UINT size)
{
    return (UINT)win32_fail(ERROR_CALL_NOT_IMPLEMENTED);
}

/* NetBIOS names are at most 15 characters, in upper case. */
static void computer_name(char *out, size_t size, bool netbios)
{
    struct utsname host;
    if (uname(&host) < 0)
        strcpy(host.nodename, "localhost");
    snprintf(out, netbios && size > 16 ? 16 : size, "%s", host.nodename);
    for (char *c = out; *c && netbios; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 0x20) : *c;
}

/* Both forms of the name functions count without the NUL on success and with it on failure. */
static BOOL finish_name(UINT result, DWORD *size, DWORD error)
{
    bool fits = result < *size;
    *size = result;
    return fits || win32_fail(error);
}

static BOOL WINAPI_DEF k32_GetComputerNameW(WCHAR *buffer, DWORD *size)
{
    char name[256];
    computer_name(name, sizeof(name), true);
    return finish_name(return_ascii_w(name, buffer, *size), size, 111); /* ERROR_BUFFER_OVERFLOW */
}

static BOOL WINAPI_DEF k32_GetComputerNameA(char *buffer, DWORD *size)
{
    char name[256];
    computer_name(name, sizeof(name), true);
    return finish_name(return_ascii_a(name, buffer, *size), size, 111);
}

/* Kinds 0 and 4 are NetBIOS names, 2 and 6 domains, the others DNS host names. */
static bool name_of_kind(DWORD kind, char *out, size_t size)
{
    if (kind > 7)
        return win32_fail(ERROR_INVALID_PARAMETER);
    computer_name(out, size, kind == 0 || kind == 4);
    char *dot = strchr(out, '.');
    if (kind == 2 || kind == 6)
        memmove(out, dot ? dot + 1 : "", dot ? strlen(dot + 1) + 1 : 1);
    else if (dot && (kind == 1 || kind == 5))
        *dot = 0;
    return true;
}

static BOOL WINAPI_DEF k32_GetComputerNameExW(DWORD kind, WCHAR *buffer, DWORD *size)
{
    char name[256];
    return name_of_kind(kind, name, sizeof(name)) &&
           finish_name(return_ascii_w(name, buffer, *size), size, ERROR_MORE_DATA);
}

static BOOL WINAPI_DEF k32_GetComputerNameExA(DWORD kind, char *buffer, DWORD *size)
{
    char name[256];
    return name_of_kind(kind, name, sizeof(name)) &&
           finish_name(return_ascii_a(name, buffer, *size), size, ERROR_MORE_DATA);
}

#define ALIAS(alias, fn)                                                               \
    {                                                                                  \
        .name = #alias, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)k32_##fn \
    }

const struct ldr_builtin_export kernel32_system_exports[] = {
    LDR_FN(k32_, GetSystemInfo),
    ALIAS(GetNativeSystemInfo, GetSystemInfo),
    LDR_FN(k32_, IsProcessorFeaturePresent),
    LDR_FN(k32_, GetCurrentProcessorNumber),
    LDR_FN(k32_, GetActiveProcessorCount),
    LDR_FN(k32_, GetMaximumProcessorCount),
    LDR_FN(k32_, GetActiveProcessorGroupCount),
    ALIAS(GetMaximumProcessorGroupCount, GetActiveProcessorGroupCount),
    LDR_FN(k32_, GetNumaHighestNodeNumber),
    LDR_FN(k32_, GetLogicalProcessorInformation),
    LDR_FN(k32_, GetLogicalProcessorInformationEx),
    LDR_FN(k32_, GetEnabledXStateFeatures),
    LDR_FN(k32_, GlobalMemoryStatus),
    LDR_FN(k32_, GlobalMemoryStatusEx),
    LDR_FN(k32_, GetPhysicallyInstalledSystemMemory),
    LDR_FN(k32_, GetVersion),
    LDR_FN(k32_, GetVersionExA),
    LDR_FN(k32_, GetVersionExW),
    LDR_FN(k32_, VerifyVersionInfoA),
    LDR_FN(k32_, VerifyVersionInfoW),
    LDR_FWD(VerSetConditionMask, "NTDLL.VerSetConditionMask"),
    LDR_FN(k32_, GetSystemDirectoryA),
    LDR_FN(k32_, GetSystemDirectoryW),
    LDR_FN(k32_, GetWindowsDirectoryA),
    LDR_FN(k32_, GetWindowsDirectoryW),
    ALIAS(GetSystemWindowsDirectoryA, GetWindowsDirectoryA),
    ALIAS(GetSystemWindowsDirectoryW, GetWindowsDirectoryW),
    LDR_FN(k32_, GetSystemWow64DirectoryA),
    LDR_FN(k32_, GetSystemWow64DirectoryW),
    LDR_FN(k32_, GetComputerNameA),
    LDR_FN(k32_, GetComputerNameW),
    LDR_FN(k32_, GetComputerNameExA),
    LDR_FN(k32_, GetComputerNameExW),
};
const size_t kernel32_system_count =
    sizeof(kernel32_system_exports) / sizeof(*kernel32_system_exports);
