/*
 * Sizes, offsets and addresses of sections and views, what views see of each other, and what is
 * left when handles, views and files go (facts 4.1, 4.3, 4.4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "tests/unit/mapping_test.h"

#include "tests/unit/child.h"

K32(ReadFile, BOOL, HANDLE file, void *buffer, DWORD size, DWORD *done, OVERLAPPED *overlapped)
K32(DeleteFileA, BOOL, const char *name)
K32(CreateEventA, HANDLE, const SECURITY_ATTRIBUTES *security, BOOL manual, BOOL initial,
    const char *name)
K32(K32GetMappedFileNameA, DWORD, HANDLE process, void *address, char *buffer, DWORD size)
NT(NtCreateSection, nt_status, HANDLE *out, ULONG access, void *attributes, const int64_t *size,
   ULONG protect, ULONG section_attributes, HANDLE file)
NT(NtMapViewOfSection, nt_status, HANDLE section, HANDLE process, void **base, ULONG_PTR zero_bits,
   SIZE_T commit, int64_t *offset, SIZE_T *size, ULONG inherit, ULONG type, ULONG protect)
NT(NtUnmapViewOfSection, nt_status, HANDLE process, void *address)
NT(NtExtendSection, nt_status, HANDLE section, int64_t *size)
NT(NtFlushVirtualMemory, nt_status, HANDLE process, void **address, SIZE_T *size,
   IO_STATUS_BLOCK *io)
NT(NtQueryVirtualMemory, nt_status, HANDLE process, const void *address, ULONG info_class,
   void *out, SIZE_T size, SIZE_T *returned)

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- sizes of sections of files -----------------------------------------------------------------
 */

static DWORD expect_size(long long length, long long size, DWORD protect)
{
    if (length == 0 && size == 0)
        return 1006;
    return size > length && protect != PAGE_READWRITE ? 8 : 0;
}

static void sizes_of_file_sections(void **state)
{
    static const DWORD lengths[] = {0, 1, 4095, 4096, 5000, 65536, 70000};
    static const DWORD protects[] = {PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY};
    case_count = 0;
    for (size_t l = 0; l < COUNT(lengths); l++) {
        const long long length = lengths[l];
        const long long sizes[] = {0, 1, length - 1, length, length + 1, length + 5000, 200000};
        for (size_t i = 0; i < COUNT(sizes) * COUNT(protects); i++) {
            long long size = sizes[i / COUNT(protects)];
            DWORD protect = protects[i % COUNT(protects)];
            if (size < 0)
                continue;
            make_file("size", (size_t)length);
            HANDLE file = file_of("size", GENERIC_READ | GENERIC_WRITE);
            DWORD expected = expect_size(length, size, protect);
            fresh_error();
            HANDLE section = CreateFileMappingA(file, NULL, protect, 0, (DWORD)size, NULL);
            check_case(section != NULL, expected, "a 0x%x section of %lld bytes of a file of %lld",
                       protect, size, length);
            long long whole = size ? size : length;
            if (section) {
                assert_int_equal(facts_of(section).size, whole); /* exactly */
                assert_int_equal(facts_of(section).attributes, SEC_FILE);
                assert_true(CloseHandle(section));
            }
            /* The file grows at once, and only where it was to. */
            assert_int_equal(length_of("size"), !expected && whole > length ? whole : length);
            assert_true(CloseHandle(file));
        }
    }
    print_message("%d sizes of sections of files\n", case_count);
}

static void sizes_of_paging_file_sections(void **state)
{
    static const struct {
        DWORD high, low, flags, error;
        int64_t size;
    } cases[] = {
        {0, 0, PAGE_READWRITE, 87, 0},
        {0, 0, PAGE_READWRITE | SEC_RESERVE, 87, 0},
        {0, 1, PAGE_READWRITE, 0, 0x1000},
        {0, 0x1000, PAGE_READWRITE, 0, 0x1000},
        {0, 0x1001, PAGE_READWRITE, 0, 0x2000},
        {0, 0x12345, PAGE_READONLY, 0, 0x13000},
        {0, 0x12345, PAGE_READWRITE | SEC_RESERVE, 0, 0x13000},
        {1, 1, PAGE_READWRITE | SEC_RESERVE, 0, 0x100001000},
        {0x10, 0, PAGE_READWRITE | SEC_RESERVE, 0, 0x1000000000},
        {0x800, 0, PAGE_READWRITE, 1455, 0}, /* 8 TiB: nobody has that much memory; unverified */
        {0x7FFFFFFF, 0xFFFFFFFF, PAGE_READWRITE | SEC_RESERVE, 8, 0}, /* unverified */
        {0xFFFFFFFF, 0xFFFFFFFF, PAGE_READWRITE, 8, 0},               /* unverified */
    };
    case_count = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        fresh_error();
        HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, cases[i].flags,
                                            cases[i].high, cases[i].low, NULL);
        check_case(section != NULL, cases[i].error, "a paging-file section of 0x%x%08x bytes",
                   cases[i].high, cases[i].low);
        if (!section)
            continue;
        assert_true(facts_of(section).size == cases[i].size);
        assert_int_equal(facts_of(section).attributes,
                         cases[i].flags & SEC_RESERVE ? SEC_RESERVE : SEC_COMMIT);
        assert_true(CloseHandle(section));
    }
}

/* ---- offsets, sizes and addresses of views ------------------------------------------------------
 */

static DWORD expect_view(long long whole, long long offset, long long size)
{
    if (offset % UNIT)
        return 1132;
    /* An offset behind the end is "unverified": the sheet knows two answers. This is the one that
     * goes by the sheet's status for views that do not fit. */
    return offset >= whole || offset + size > whole ? 5 : 0;
}

static void check_part(HANDLE section, long long whole, long long offset, long long size)
{
    fresh_error();
    const uint8_t *view = MapViewOfFile(section, MAP_READ, 0, (DWORD)offset, (SIZE_T)size);
    check_case(view != NULL, expect_view(whole, offset, size),
               "a view of %lld bytes from %lld of a section of %lld", size, offset, whole);
    if (!view)
        return;
    long long bytes = size ? size : whole - offset;
    assert_int_equal(query_at(view).RegionSize, (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
    assert_int_equal(view[0], offset % 251);
    assert_int_equal(view[bytes - 1], (offset + bytes - 1) % 251);
    if ((offset + bytes) % PAGE_BYTES && offset + bytes == whole)
        assert_int_equal(view[bytes], 0); /* behind the end of the file, in its last page */
    assert_true(UnmapViewOfFile(view));
}

static void parts_of_sections(void **state)
{
    static const long long wholes[] = {1, 4096, 65535, 65536, 65537, 131072, 200001};
    static const long long offsets[] = {0,     1,     4096,   32768,  65535,
                                        65536, 65537, 131072, 196608, 262144};
    case_count = 0;
    for (size_t w = 0; w < COUNT(wholes); w++) {
        long long whole = wholes[w];
        make_file("parts", (size_t)whole);
        HANDLE file = file_of("parts", GENERIC_READ);
        HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
        for (size_t o = 0; o < COUNT(offsets); o++) {
            long long left = whole - offsets[o];
            const long long sizes[] = {0, 1, 4096, 4097, left - 1, left, left + 1, left + 65536};
            for (size_t s = 0; s < COUNT(sizes); s++)
                if (sizes[s] >= 0)
                    check_part(section, whole, offsets[o], sizes[s]);
        }
        assert_true(CloseHandle(section));
        assert_true(CloseHandle(file));
    }
    print_message("%d parts of sections\n", case_count);
}

static void addresses_of_views(void **state)
{
    static const struct {
        intptr_t off;
        DWORD error;
    } cases[] = {{0, 0},        {1, 1132},   {4096, 1132},    {0x8000, 1132},
                 {-4096, 1132}, {UNIT, 487}, {2 * UNIT, 487}, {3 * UNIT, 487}};
    case_count = 0;
    HANDLE section = paging(PAGE_READWRITE, 2 * UNIT, NULL);
    uint8_t *area = VirtualAlloc(NULL, 8 * UNIT, MEM_RESERVE, PAGE_NOACCESS);
    assert_true(VirtualFree(area, 0, MEM_RELEASE));
    /* Holds what the third unit on is used for. */
    assert_ptr_equal(VirtualAlloc(area + 2 * UNIT, 2 * UNIT, MEM_RESERVE, PAGE_NOACCESS),
                     area + 2 * UNIT);
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t *wanted = area + cases[i].off;
        fresh_error();
        void *view = MapViewOfFileEx(section, MAP_WRITE, 0, 0, 0, wanted);
        check_case(view != NULL, cases[i].error, "a view at %+ld of a free range",
                   (long)cases[i].off);
        if (view) {
            assert_ptr_equal(view, wanted);
            assert_true(UnmapViewOfFile(view));
        }
    }
    assert_true(VirtualFree(area + 2 * UNIT, 0, MEM_RELEASE));
    assert_true(CloseHandle(section));
}

/* ---- what views see of each other ---------------------------------------------------------------
 */

static void views_of_one_section_agree(void **state)
{
    make_file("agree", 3 * UNIT);
    HANDLE file = file_of("agree", GENERIC_READ | GENERIC_WRITE);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    HANDLE second = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 2 * UNIT, NULL);
    uint8_t *whole = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    uint8_t *part = MapViewOfFile(section, MAP_WRITE, 0, UNIT, UNIT);
    uint8_t *other = MapViewOfFile(second, MAP_READ, 0, UNIT, 0);
    uint8_t *copy = MapViewOfFile(section, MAP_COPY, 0, 0, 0), byte;
    DWORD done;
    whole[UNIT + 5] = 0xA1;
    assert_int_equal(part[5], 0xA1);
    assert_int_equal(other[5], 0xA1);
    assert_int_equal(copy[UNIT + 5], 0xA1); /* not yet written, so not yet a copy */
    part[UNIT - 1] = 0xB2;
    assert_int_equal(whole[2 * UNIT - 1], 0xB2);
    copy[UNIT + 6] = 0xC3;
    assert_int_not_equal(whole[UNIT + 6], 0xC3);
    whole[UNIT + 5] = 0xD4;
    assert_int_equal(copy[UNIT + 5], 0xA1); /* its page is its own now */
    assert_true(FlushViewOfFile(whole, 0));
    OVERLAPPED at = {.Offset = UNIT + 5};
    assert_true(ReadFile(file, &byte, 1, &done, &at));
    assert_int_equal(byte, 0xD4);
    assert_true(UnmapViewOfFile(whole) && UnmapViewOfFile(part) && UnmapViewOfFile(other) &&
                UnmapViewOfFile(copy));
    assert_true(CloseHandle(second) && CloseHandle(section) && CloseHandle(file));
}

static void any_address_inside_ends_a_view(void **state)
{
    HANDLE section = paging(PAGE_READWRITE, 3 * PAGE_BYTES, NULL);
    uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0), on_stack;
    assert_true(UnmapViewOfFile(view + 2 * PAGE_BYTES + 7));
    assert_int_equal(query_at(view).State, MEM_FREE);
    case_count = 0;
    void *memory = VirtualAlloc(NULL, PAGE_BYTES, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    const void *const bad[] = {view, NULL, (void *)1, memory, &on_stack, (void *)-1};
    for (size_t i = 0; i < COUNT(bad); i++) {
        fresh_error();
        check_case(UnmapViewOfFile(bad[i]), 487, "UnmapViewOfFile(%p)", bad[i]);
        fresh_error();
        check_case(FlushViewOfFile(bad[i], 0), 487, "FlushViewOfFile(%p)", bad[i]);
    }
    assert_true(VirtualFree(memory, 0, MEM_RELEASE));
    assert_true(CloseHandle(section));
}

static void views_and_handles_close_in_any_order(void **state)
{
    for (int order = 0; order < 6; order++) {
        static const char *const orders[] = {"fsv", "fvs", "sfv", "svf", "vfs", "vsf"};
        make_file("order", 100);
        HANDLE file = file_of("order", GENERIC_READ | GENERIC_WRITE);
        HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
        uint8_t *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
        for (const char *c = orders[order]; *c; c++) {
            if (*c == 'v') {
                view[7] = 0x77;
                assert_true(UnmapViewOfFile(view));
            } else {
                assert_true(CloseHandle(*c == 'f' ? file : section));
            }
        }
        uint8_t bytes[100];
        FILE *stream = fopen(tempdir_path("order"), "rb");
        assert_int_equal(fread(bytes, 1, sizeof bytes, stream), sizeof bytes);
        fclose(stream);
        assert_int_equal(bytes[7], 0x77);
        assert_int_equal(bytes[8], 8);
    }
}

/* ---- reserved sections --------------------------------------------------------------------------
 */

static void pages_of_a_reserved_section_are_committed_for_all(void **state)
{
    ke_fault_install(); /* a page that was committed elsewhere is opened by the first access */
    HANDLE section = paging(PAGE_READWRITE | SEC_RESERVE, 4 * PAGE_BYTES, NULL);
    uint8_t *first = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    uint8_t *second = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    assert_int_equal(query_at(first).State, MEM_RESERVE);
    assert_int_equal(query_at(first).Protect, 0);
    assert_int_equal(query_at(first).RegionSize, 4 * PAGE_BYTES);
    assert_ptr_equal(VirtualAlloc(first + PAGE_BYTES, 1, MEM_COMMIT, PAGE_READWRITE),
                     first + PAGE_BYTES);
    first[PAGE_BYTES] = 42;
    struct win32_memory_information info = query_at(second + PAGE_BYTES);
    assert_int_equal(info.State, MEM_COMMIT);
    assert_int_equal(info.Protect, PAGE_READONLY);
    assert_int_equal(info.RegionSize, PAGE_BYTES);
    assert_int_equal(second[PAGE_BYTES], 42);
    assert_int_equal(query_at(second).State, MEM_RESERVE);
    fresh_error();
    assert_false(VirtualFree(first + PAGE_BYTES, PAGE_BYTES, MEM_DECOMMIT));
    assert_int_equal(ke_last_error(), 87);
    assert_true(UnmapViewOfFile(first));
    uint8_t *third = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    assert_int_equal(third[PAGE_BYTES], 42);
    assert_true(UnmapViewOfFile(second) && UnmapViewOfFile(third) && CloseHandle(section));
}

/* ---- private memory's functions on views --------------------------------------------------------
 */

static void views_are_no_private_memory(void **state)
{
    struct {
        const char *what;
        DWORD error;
    } cases[] = {
        {"release", 87},         {"decommit", 87},
        {"reserve", 487},        {"commit what is committed", 0},
        {"commit of a file", 5}, {"commit more than the view allows", 87},
    };
    make_file("private", UNIT);
    HANDLE file = file_of("private", GENERIC_READ | GENERIC_WRITE);
    HANDLE of_file = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, NULL);
    HANDLE section = paging(PAGE_READWRITE, UNIT, NULL);
    HANDLE reserved = paging(PAGE_READWRITE | SEC_RESERVE, UNIT, NULL);
    void *view = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    void *file_view = MapViewOfFile(of_file, MAP_WRITE, 0, 0, 0);
    void *readable = MapViewOfFile(reserved, MAP_READ, 0, 0, 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        fresh_error();
        bool done = i == 0   ? VirtualFree(view, 0, MEM_RELEASE)
                    : i == 1 ? VirtualFree(view, PAGE_BYTES, MEM_DECOMMIT)
                    : i == 2 ? !!VirtualAlloc(view, 1, MEM_RESERVE, PAGE_READWRITE)
                    : i == 3 ? !!VirtualAlloc(view, 1, MEM_COMMIT, PAGE_READWRITE)
                    : i == 4 ? !!VirtualAlloc(file_view, 1, MEM_COMMIT, PAGE_READWRITE)
                             : !!VirtualAlloc(readable, 1, MEM_COMMIT, PAGE_READWRITE);
        check_case(done, cases[i].error, "%s", cases[i].what);
    }
    assert_true(UnmapViewOfFile(view) && UnmapViewOfFile(file_view) && UnmapViewOfFile(readable));
    assert_true(CloseHandle(section) && CloseHandle(of_file) && CloseHandle(reserved) &&
                CloseHandle(file));
}

/* ---- bad handles --------------------------------------------------------------------------------
 */

static void bad_handles_are_refused(void **state)
{
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    make_file("bad", 10);
    HANDLE file = file_of("bad", GENERIC_READ), section = paging(PAGE_READWRITE, 4096, NULL);
    HANDLE closed = CreateEventA(NULL, TRUE, FALSE, NULL);
    assert_true(CloseHandle(closed));
    const HANDLE not_sections[] = {NULL, INVALID_HANDLE_VALUE,          closed,        event,
                                   file, (HANDLE)(uintptr_t)0x12345678, CURRENT_THREAD};
    const HANDLE not_files[] = {closed, event, section, (HANDLE)(uintptr_t)0x12345678,
                                CURRENT_THREAD};
    case_count = 0;
    for (size_t i = 0; i < COUNT(not_sections); i++) {
        fresh_error();
        check_case(MapViewOfFile(not_sections[i], MAP_READ, 0, 0, 0) != NULL, 6,
                   "MapViewOfFile(%p)", not_sections[i]);
    }
    for (size_t i = 0; i < COUNT(not_files); i++) {
        fresh_error();
        check_case(CreateFileMappingA(not_files[i], NULL, PAGE_READONLY, 0, 4096, NULL) != NULL, 6,
                   "CreateFileMapping(%p)", not_files[i]);
    }
    HANDLE directory = CreateFileA(tempdir, GENERIC_READ, ALL_SHARED, NULL, OPEN_EXISTING,
                                   FILE_FLAG_BACKUP_SEMANTICS, NULL);
    assert_ptr_not_equal(directory, INVALID_HANDLE_VALUE);
    fresh_error();
    check_case(CreateFileMappingA(directory, NULL, PAGE_READONLY, 0, 4096, NULL) != NULL, 193,
               "CreateFileMapping(a directory)");
    HANDLE device =
        CreateFileA("\\\\.\\NUL", GENERIC_READ, ALL_SHARED, NULL, OPEN_EXISTING, 0, NULL);
    fresh_error();
    check_case(CreateFileMappingA(device, NULL, PAGE_READONLY, 0, 4096, NULL) != NULL, 193,
               "CreateFileMapping(NUL)");
    assert_true(CloseHandle(directory) && CloseHandle(device));
    assert_true(CloseHandle(event) && CloseHandle(file) && CloseHandle(section));
}

/* ---- no room ------------------------------------------------------------------------------------
 */

/* A file size limit is the disk that everybody has: the file stays as it was. */
static void grow_beyond_limit(void)
{
    struct rlimit limit = {100000, 100000};
    HANDLE file = file_of("limit", GENERIC_READ | GENERIC_WRITE);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(2);
    fresh_error();
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 200000, NULL);
    if (section || ke_last_error() != ERROR_DISK_FULL || length_of("limit") != 5000)
        _exit(3);
    section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 90000, NULL);
    _exit(section && length_of("limit") == 90000 ? 0 : 4);
}

static void a_file_that_cannot_grow_stays_as_it_is(void **state)
{
    char text[1024];
    make_file("limit", 5000);
    assert_int_equal(status_of(grow_beyond_limit, text, sizeof text), 0);
}

static bool write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    return file && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* A file system of 256 KiB that this process alone sees. */
static bool mount_small(const char *path)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
    snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
    return mkdir(path, 0700) == 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/uid_map", users) && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/gid_map", groups) &&
           mount("none", path, "tmpfs", 0, "size=256k") == 0;
}

/* A real full disk, where user namespaces let one be mounted: 77 = they do not. */
static void fill_disk(void)
{
    const char *small = strdup(tempdir_path("small"));
    if (!mount_small(small))
        _exit(77);
    make_file("small/file", 5000);
    HANDLE file = file_of("small/file", GENERIC_READ | GENERIC_WRITE);
    fresh_error();
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 1 << 20, NULL);
    if (section || ke_last_error() != ERROR_DISK_FULL || length_of("small/file") != 5000)
        _exit(3);
    section = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 128 << 10, NULL);
    uint8_t *view = section ? MapViewOfFile(section, MAP_WRITE, 0, 0, 0) : NULL;
    if (!view)
        _exit(4);
    memset(view, 1, 128 << 10); /* every page has its room already */
    /* A named section lives on the disk of the runtime directory; there is no more memory. */
    setenv("XDG_RUNTIME_DIR", small, 1);
    fresh_error();
    if (paging(PAGE_READWRITE, 1 << 20, "too large") || ke_last_error() != 1455)
        _exit(5);
    if (!paging(PAGE_READWRITE, 4096, "fits"))
        _exit(6);
    _exit(0);
}

static void a_full_disk_is_an_error(void **state)
{
    char text[1024];
    int result = status_of(fill_disk, text, sizeof text);
    rmdir(tempdir_path("small"));
    if (result == 77) {
        print_message("no user namespaces with mounts here: skipped\n");
        skip();
    }
    assert_int_equal(result, 0);
}

/* ---- the system services ------------------------------------------------------------------------
 */

static void services_have_their_own_rules(void **state)
{
    HANDLE section;
    void *base = NULL;
    SIZE_T size = 0;
    const int64_t bytes = 3 * UNIT;
    struct {
        ULONG_PTR zero_bits;
        int64_t offset;
        SIZE_T size;
        ULONG inherit, type, protect;
        nt_status expected;
    } cases[] = {
        {0, 0, 0, 1, 0, PAGE_READWRITE, STATUS_SUCCESS},
        {0, 0, 0, 2, 0, PAGE_READONLY, STATUS_SUCCESS},
        {0, 0, 0, 0, 0, PAGE_READONLY, 0xC00000F6},
        {0, 0, 0, 3, 0, PAGE_READONLY, 0xC00000F6},
        {0, 0, 0, 1, 0x10, PAGE_READONLY, 0xC00000F7},
        {22, 0, 0, 1, 0, PAGE_READONLY, 0xC00000F2},
        {31, 0, 0, 1, 0, PAGE_READONLY, 0xC00000F2},
        {0, 0, 0, 1, 0, 0, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, 1, 0, PAGE_READONLY | PAGE_READWRITE, STATUS_INVALID_PAGE_PROTECTION},
        {0, 0, 0, 1, 0, PAGE_EXECUTE_READ, STATUS_SECTION_PROTECTION},
        {0, 1, 0, 1, 0, PAGE_READONLY, STATUS_MAPPED_ALIGNMENT},
        {0, UNIT, 2 * UNIT, 1, 0, PAGE_READONLY, STATUS_SUCCESS},
        {0, UNIT, 2 * UNIT + 1, 1, 0, PAGE_READONLY, STATUS_INVALID_VIEW_SIZE},
        {0, 3 * UNIT, 0, 1, 0, PAGE_READONLY, STATUS_INVALID_VIEW_SIZE}, /* unverified */
        {0, 0, 0, 1, MEM_TOP_DOWN, PAGE_READONLY, STATUS_SUCCESS},
    };
    assert_true(
        nt_ok(NtCreateSection(&section, 0xF001F, NULL, &bytes, PAGE_READWRITE, SEC_COMMIT, NULL)));
    for (size_t i = 0; i < COUNT(cases); i++) {
        base = NULL;
        size = cases[i].size;
        nt_status status = NtMapViewOfSection(section, CURRENT_PROCESS, &base, cases[i].zero_bits,
                                              0, &cases[i].offset, &size, cases[i].inherit,
                                              cases[i].type, cases[i].protect);
        if (status != cases[i].expected)
            fail_msg("case %zu: %s (0x%x)", i, nt_status_name(status), status);
        if (nt_ok(status)) {
            assert_int_equal(size % PAGE_BYTES, 0);
            assert_true(nt_ok(NtUnmapViewOfSection(CURRENT_PROCESS, (char *)base + 1)));
            assert_true(NtUnmapViewOfSection(CURRENT_PROCESS, base) ==
                        (nt_status)STATUS_NOT_MAPPED_VIEW);
        }
    }
    assert_true(CloseHandle(section));
}

static void creation_statuses(void **state)
{
    HANDLE section;
    const int64_t page = PAGE_BYTES, none = 0;
    const struct {
        const int64_t *size;
        ULONG protect, attributes;
        nt_status expected;
    } cases[] = {
        {&page, PAGE_READWRITE, SEC_COMMIT, STATUS_SUCCESS},
        {&page, PAGE_READWRITE, 0, 0xC00000F4},
        {&page, PAGE_READWRITE, SEC_NOCACHE, 0xC00000F4},
        {&page, PAGE_NOACCESS, SEC_COMMIT, STATUS_INVALID_PAGE_PROTECTION},
        {&none, PAGE_READWRITE, SEC_COMMIT, 0xC00000F2},
        {NULL, PAGE_READWRITE, SEC_COMMIT, 0xC00000F2},
        {&page, PAGE_READONLY, SEC_IMAGE, STATUS_INVALID_FILE_FOR_SECTION},
        {&page, PAGE_READWRITE, SEC_COMMIT | SEC_LARGE_PAGES, STATUS_PRIVILEGE_NOT_HELD},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        nt_status status = NtCreateSection(&section, 0xF001F, NULL, cases[i].size, cases[i].protect,
                                           cases[i].attributes, NULL);
        if (status != cases[i].expected)
            fail_msg("case %zu: %s (0x%x)", i, nt_status_name(status), status);
        if (nt_ok(status))
            assert_true(CloseHandle(section));
    }
}

static void a_section_of_a_file_can_be_extended(void **state)
{
    make_file("extend", 1000);
    HANDLE file = file_of("extend", GENERIC_READ | GENERIC_WRITE), section;
    assert_true(
        nt_ok(NtCreateSection(&section, 0xF001F, NULL, NULL, PAGE_READWRITE, SEC_COMMIT, file)));
    uint8_t *old = MapViewOfFile(section, MAP_WRITE, 0, 0, 0);
    int64_t size = 100000;
    assert_true(nt_ok(NtExtendSection(section, &size)));
    assert_true(size == 100000 && length_of("extend") == 100000);
    assert_true(facts_of(section).size == 100000);
    uint8_t *longer = MapViewOfFile(section, MAP_WRITE, 0, UNIT, 0);
    assert_non_null(longer);
    longer[30000] = 1;
    old[0] = 9;
    size = 10;
    assert_true(nt_ok(NtExtendSection(section, &size)));
    assert_true(size == 100000);
    assert_true(UnmapViewOfFile(old) && UnmapViewOfFile(longer) && CloseHandle(section));
    section = paging(PAGE_READWRITE, 4096, NULL);
    HANDLE extendable;
    assert_true(
        DuplicateHandle(CURRENT_PROCESS, section, CURRENT_PROCESS, &extendable, 0xF001F, FALSE, 0));
    size = 8192;
    assert_true(NtExtendSection(section, &size) == (nt_status)STATUS_ACCESS_DENIED);
    assert_true(NtExtendSection(extendable, &size) == (nt_status)STATUS_SECTION_NOT_EXTENDED);
    assert_true(CloseHandle(extendable) && CloseHandle(section) && CloseHandle(file));
}

static void questions_are_checked(void **state)
{
    struct section_facts facts;
    SIZE_T returned = 0;
    HANDLE section = paging(PAGE_READWRITE, 4096, NULL), blind;
    assert_true(nt_ok(NtQuerySection(section, 0, &facts, sizeof facts, &returned)));
    assert_int_equal(returned, sizeof facts);
    assert_true(NtQuerySection(section, 0, &facts, sizeof facts - 1, NULL) == 0xC0000004);
    assert_true(NtQuerySection(section, 77, &facts, sizeof facts, NULL) == 0xC0000003);
    char image[64];
    assert_true(NtQuerySection(section, 1, image, sizeof image, NULL) == 0xC0000049);
    assert_true(
        DuplicateHandle(CURRENT_PROCESS, section, CURRENT_PROCESS, &blind, MAP_READ, FALSE, 0));
    assert_true(NtQuerySection(blind, 0, &facts, sizeof facts, NULL) ==
                (nt_status)STATUS_ACCESS_DENIED);
    assert_true(CloseHandle(blind) && CloseHandle(section));
}

static void mapped_files_have_names(void **state)
{
    char name[PATH_MAX], small[8];
    make_file("named", 10);
    HANDLE file = file_of("named", GENERIC_READ);
    HANDLE section = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    void *view = MapViewOfFile(section, MAP_READ, 0, 0, 0);
    DWORD length = K32GetMappedFileNameA(CURRENT_PROCESS, view, name, sizeof name);
    assert_int_equal(length, strlen(name));
    assert_int_equal(strncmp(name, "\\Device\\HarddiskVolume", 22), 0);
    assert_string_equal(name + length - 6, "\\named");
    assert_fails(K32GetMappedFileNameA(CURRENT_PROCESS, view, small, sizeof small), 122);
    assert_fails(K32GetMappedFileNameA(CURRENT_PROCESS, NULL, name, sizeof name), 59);
    HANDLE memory = paging(PAGE_READWRITE, 4096, NULL);
    void *anonymous = MapViewOfFile(memory, MAP_READ, 0, 0, 0);
    assert_fails(K32GetMappedFileNameA(CURRENT_PROCESS, anonymous, name, sizeof name), 1006);
    union {
        UNICODE_STRING string;
        char bytes[2048];
    } answer;
    SIZE_T needed;
    assert_true(
        nt_ok(NtQueryVirtualMemory(CURRENT_PROCESS, view, 2, &answer, sizeof answer, &needed)));
    assert_int_equal(answer.string.Length, length * 2);
    assert_ptr_equal(answer.string.Buffer, &answer.string + 1);
    assert_true(NtQueryVirtualMemory(CURRENT_PROCESS, view, 2, &answer, needed - 1, &needed) ==
                0x80000005);
    assert_true(NtQueryVirtualMemory(CURRENT_PROCESS, view, 2, &answer, 4, &needed) == 0xC0000004);
    void *at = (char *)view + 5;
    SIZE_T size = 1;
    IO_STATUS_BLOCK io;
    assert_true(nt_ok(NtFlushVirtualMemory(CURRENT_PROCESS, &at, &size, &io)));
    assert_ptr_equal(at, view);
    assert_int_equal(size, PAGE_BYTES);
    assert_true(UnmapViewOfFile(view) && UnmapViewOfFile(anonymous));
    assert_true(CloseHandle(memory) && CloseHandle(section) && CloseHandle(file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_file_sections),
        cmocka_unit_test(sizes_of_paging_file_sections),
        cmocka_unit_test(parts_of_sections),
        cmocka_unit_test(addresses_of_views),
        cmocka_unit_test(views_of_one_section_agree),
        cmocka_unit_test(any_address_inside_ends_a_view),
        cmocka_unit_test(views_and_handles_close_in_any_order),
        cmocka_unit_test(pages_of_a_reserved_section_are_committed_for_all),
        cmocka_unit_test(views_are_no_private_memory),
        cmocka_unit_test(bad_handles_are_refused),
        cmocka_unit_test(a_file_that_cannot_grow_stays_as_it_is),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(services_have_their_own_rules),
        cmocka_unit_test(creation_statuses),
        cmocka_unit_test(a_section_of_a_file_can_be_extended),
        cmocka_unit_test(questions_are_checked),
        cmocka_unit_test(mapped_files_have_names),
    };
    return cmocka_run_group_tests(tests, mapping_setup, mapping_teardown);
}
