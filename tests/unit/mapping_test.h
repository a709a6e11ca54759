/*
 * What the tests of file mapping share: KERNEL32's functions, a directory that is the runtime
 * directory as well, and cases that are counted and named when they fail.
 */
#ifndef TESTS_MAPPING_TEST_H
#define TESTS_MAPPING_TEST_H

#include <string.h>

#include "loader/ke/process.h"
#include "loader/mm/data.h"
#include "loader/win32/file.h"
#include "loader/win32/memory.h"
#include "tests/unit/tempdir.h"
#include "tests/unit/win32_fn.h"

K32(CreateFileA, HANDLE, const char *name, DWORD access, DWORD share, void *security,
    DWORD disposition, DWORD flags, HANDLE template_file)
K32(CloseHandle, BOOL, HANDLE handle)
K32(DuplicateHandle, BOOL, HANDLE from, HANDLE handle, HANDLE to, HANDLE *out, DWORD access,
    BOOL inherit, DWORD options)
K32(CreateFileMappingA, HANDLE, HANDLE file, const SECURITY_ATTRIBUTES *security, DWORD protect,
    DWORD high, DWORD low, const char *name)
K32(CreateFileMappingW, HANDLE, HANDLE file, const SECURITY_ATTRIBUTES *security, DWORD protect,
    DWORD high, DWORD low, const WCHAR *name)
K32(OpenFileMappingA, HANDLE, DWORD access, BOOL inherit, const char *name)
K32(OpenFileMappingW, HANDLE, DWORD access, BOOL inherit, const WCHAR *name)
K32(MapViewOfFile, void *, HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T size)
K32(MapViewOfFileEx, void *, HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T size,
    void *base)
K32(UnmapViewOfFile, BOOL, const void *base)
K32(FlushViewOfFile, BOOL, const void *base, SIZE_T size)
K32(VirtualAlloc, void *, void *address, SIZE_T size, DWORD type, DWORD protect)
K32(VirtualFree, BOOL, void *address, SIZE_T size, DWORD type)
K32(VirtualProtect, BOOL, void *address, SIZE_T size, DWORD protect, DWORD *old)
K32(VirtualQuery, SIZE_T, const void *address, struct win32_memory_information *out, SIZE_T size)
NT(NtQuerySection, nt_status, HANDLE section, ULONG info_class, void *out, SIZE_T size,
   SIZE_T *returned)

enum {
    MAP_COPY = 0x1,
    MAP_WRITE = 0x2,
    MAP_READ = 0x4,
    MAP_EXECUTE = 0x20,
    MAP_ALL = 0xF001F,
};
enum { ALL_SHARED = 7, PAGE_BYTES = 0x1000, UNIT = 0x10000 };

static inline int mapping_setup(void **state)
{
    if (win32_test_setup(state) || tempdir_create())
        return -1;
    return setenv("XDG_RUNTIME_DIR", tempdir, 1);
}

static inline int mapping_teardown(void **state)
{
    return tempdir_remove();
}

/* ---- cases --------------------------------------------------------------------------------------
 */

static int case_count __attribute__((unused));

/* A call that returned `got` (0 = failed) was to end with `expected`: 0 = success, else a last
 * error. The rest says which case it is. */
#define check_case(got, expected, ...)                                                    \
    do {                                                                                  \
        bool case_ok = (got);                                                             \
        DWORD case_error = ke_last_error(), case_expected = (expected);                   \
        case_count++;                                                                     \
        if (case_ok != !case_expected || (!case_ok && case_error != case_expected)) {     \
            print_error(__VA_ARGS__);                                                     \
            fail_msg(": %s, last error %u; expected %u", case_ok ? "success" : "failure", \
                     case_error, case_expected);                                          \
        }                                                                                 \
    } while (0)

/* Before a call that may set the last error. */
static inline void fresh_error(void)
{
    ke_set_last_error(0xDEADBEEF);
}

/* ---- shortcuts ----------------------------------------------------------------------------------
 */

static inline HANDLE file_of(const char *name, DWORD access)
{
    HANDLE file = CreateFileA(tempdir_path(name), access, ALL_SHARED, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        fail_msg("cannot open %s: %u", name, ke_last_error());
    return file;
}

/* A file of `size` bytes, byte i being i % 251. */
static inline void make_file(const char *name, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i % 251);
    tempdir_write(name, bytes, size);
    free(bytes);
}

static inline long long length_of(const char *name)
{
    struct stat st;
    return stat(tempdir_path(name), &st) == 0 ? (long long)st.st_size : -1;
}

static inline HANDLE paging(DWORD protect, DWORD size, const char *name)
{
    return CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, protect, 0, size, name);
}

static inline struct win32_memory_information query_at(const void *address)
{
    struct win32_memory_information info;
    if (VirtualQuery(address, &info, sizeof info) != sizeof info)
        fail_msg("VirtualQuery fails: %u", ke_last_error());
    return info;
}

/* SectionBasicInformation. */
struct section_facts {
    void *base;
    ULONG attributes;
    int64_t size __attribute__((aligned(8)));
};

static inline struct section_facts facts_of(HANDLE section)
{
    struct section_facts facts = {0};
    nt_status status = NtQuerySection(section, 0, &facts, sizeof facts, NULL);
    if (!nt_ok(status))
        fail_msg("NtQuerySection: %s", nt_status_name(status));
    return facts;
}

#endif
