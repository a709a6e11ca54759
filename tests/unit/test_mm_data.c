/*
 * Data sections and their views: what may be mapped, where, and how views agree (facts 4.2-4.4).
 */
#include "tests/unit/data_test.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGES 40u
#define SIZE  (PAGES * TEST_PAGE)

static const uint32_t protections[] = {
    PAGE_NOACCESS, PAGE_READONLY,     PAGE_READWRITE,         PAGE_WRITECOPY,
    PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY};

/* ---- protections ------------------------------------------------------------------------------
 */

/* A row a section, a column a view, in the order of `protections`. */
static const struct {
    uint32_t section;
    const char *views;
} mappable[] = {
    {PAGE_READONLY, "yyny nnnn"},          {PAGE_WRITECOPY, "yyny nnnn"},
    {PAGE_READWRITE, "yyyy nnnn"},         {PAGE_EXECUTE_READ, "yyny yyny"},
    {PAGE_EXECUTE_WRITECOPY, "yyny yyny"}, {PAGE_EXECUTE_READWRITE, "yyyy yyyy"},
};

static bool says_yes(const char *row, size_t column)
{
    return row[column + (column >= 4)] == 'y';
}

static void check_fresh_view(struct mm_data *data, uint32_t protect, bool paging_file)
{
    uint8_t *view = data_view(data, protect, 0, 0);
    struct mm_region region = test_query(test_address(view) + 0x1234);
    bool readable = protect != PAGE_NOACCESS;

    assert_int_equal(region.base, test_address(view) + 0x1000);
    assert_int_equal(region.size, SIZE - 0x1000);
    assert_int_equal(region.allocation_base, test_address(view));
    assert_int_equal(region.allocation_protect, protect);
    assert_int_equal(region.protect, protect);
    assert_int_equal(region.state, MEM_COMMIT);
    assert_int_equal(region.type, MEM_MAPPED);
    assert_int_equal(region.backing,
                     paging_file ? MM_BACKING_SHARED_SECTION : MM_BACKING_DATA_FILE);
    assert_int_equal(region.pages_committed, PAGES - 1);
    assert_int_equal(region.pages_shared, PAGES - 1);
    assert_int_equal(region.pages_private, 0);
    assert_int_equal(test_readable(view), readable);
    assert_int_equal(test_writable(view), (protect & 0xCC) != 0);
    assert_int_equal(strchr(test_permissions(test_address(view)), 'x') != NULL,
                     (protect & 0xF0) != 0);
    data_unmap(view);
    assert_int_equal(test_query(test_address(view)).state, MEM_FREE);
}

static void views_of_sections(void **state)
{
    for (size_t i = 0; i < sizeof(mappable) / sizeof(mappable[0]); i++)
        for (int paging_file = 0; paging_file < 2; paging_file++) {
            struct mm_data *data =
                paging_file ? data_of_memory(SIZE, mappable[i].section, SEC_COMMIT, NULL)
                            : data_of_file(data_file("data", SIZE), SIZE, mappable[i].section);

            for (size_t j = 0; j < 8; j++) {
                uint64_t base;

                if (says_yes(mappable[i].views, j))
                    check_fresh_view(data, protections[j], paging_file);
                else
                    assert_status(data_try(data, protections[j], 0, 0, &base),
                                  STATUS_SECTION_PROTECTION);
            }
            mm_data_unref(data);
        }
}

static void no_protections(void **state)
{
    static const uint32_t none[] = {0,
                                    PAGE_READONLY | PAGE_READWRITE,
                                    PAGE_READONLY | PAGE_GUARD,
                                    PAGE_READONLY | PAGE_NOCACHE,
                                    PAGE_READONLY | PAGE_WRITECOMBINE,
                                    0x800};
    struct mm_data *data = data_of_memory(SIZE, PAGE_EXECUTE_READWRITE, SEC_COMMIT, NULL), *other;
    uint64_t base;

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct mm_data_source source = {.size = SIZE, .protect = none[i], .paging_file = true};

        assert_status(data_try(data, none[i], 0, 0, &base), STATUS_INVALID_PAGE_PROTECTION);
        assert_status(mm_data_create(&source, &other, NULL), STATUS_INVALID_PAGE_PROTECTION);
    }
    mm_data_unref(data);
}

/* VirtualProtect: a row a view, a column what its pages may become. */
static const char *const changes[8] = {
    "ynnn nnnn", /* NOACCESS */
    "yyny nnnn", /* READONLY */
    "yyyy nnnn", /* READWRITE */
    "yyny nnnn", /* WRITECOPY */
    "yyny yynn", /* EXECUTE */
    "yyny yynn", /* EXECUTE_READ */
    "yyyy yyyy", /* EXECUTE_READWRITE */
    "yyny yyny", /* EXECUTE_WRITECOPY */
};

static void check_change(uint8_t *view, uint32_t view_protect, uint32_t page_protect, bool allowed)
{
    uint32_t old = 0;
    struct mm_region region;

    if (!allowed) {
        assert_status(data_protect(view + 0x3000, 0x2000, page_protect, &old),
                      STATUS_SECTION_PROTECTION);
        return;
    }
    assert_status(data_protect(view + 0x3000, 0x2000, page_protect, &old), STATUS_SUCCESS);
    assert_int_equal(old, view_protect);
    region = test_query(test_address(view) + 0x3000);
    assert_int_equal(region.protect, page_protect);
    assert_int_equal(region.allocation_protect, view_protect);
    assert_int_equal(region.allocation_base, test_address(view));
    assert_int_equal(region.size, page_protect == view_protect ? SIZE - 0x3000 : 0x2000);
    assert_int_equal(test_readable(view + 0x3000), page_protect != PAGE_NOACCESS);
    assert_int_equal(test_writable(view + 0x3000), (page_protect & 0xCC) != 0);
    assert_int_equal(test_query(test_address(view)).protect, view_protect);
    assert_int_equal(test_query(test_address(view) + 0x5000).protect, view_protect);
}

static void changes_of_protection(void **state)
{
    struct mm_data *data = data_of_file(data_file("data", SIZE), SIZE, PAGE_EXECUTE_READWRITE);
    unsigned count = 0;

    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 8; j++, count++) {
            uint8_t *view = data_view(data, protections[i], 0, 0);

            check_change(view, protections[i], protections[j], says_yes(changes[i], j));
            data_unmap(view);
        }
    assert_int_equal(count, 64);
    mm_data_unref(data);
}

static void refused_changes(void **state)
{
    struct mm_data *data = data_of_file(data_file("data", SIZE), SIZE, PAGE_READWRITE);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);
    uint32_t old;

    assert_status(data_protect(view, 0x1000, 0, &old), STATUS_INVALID_PAGE_PROTECTION);
    assert_status(data_protect(view, 0x1000, PAGE_READONLY | PAGE_READWRITE, &old),
                  STATUS_INVALID_PAGE_PROTECTION);
    assert_status(data_protect(view, 0x1000, PAGE_READONLY | PAGE_NOCACHE, &old),
                  STATUS_INVALID_PAGE_PROTECTION);
    assert_status(data_protect(view, SIZE + 1, PAGE_READONLY, &old), STATUS_CONFLICTING_ADDRESSES);
    /* MEM_COMMIT is for sections of the paging file, whatever the protection. */
    for (size_t i = 0; i < 8; i++)
        assert_status(data_commit(view, 0x1000, protections[i]), STATUS_ALREADY_COMMITTED);
    assert_status(mm_free(test_address(view), 0x1000, MEM_DECOMMIT, NULL),
                  STATUS_UNABLE_TO_DELETE_SECTION);
    assert_status(mm_free(test_address(view), 0, MEM_RELEASE, NULL),
                  STATUS_UNABLE_TO_DELETE_SECTION);
    assert_int_equal(test_query(test_address(view)).size, SIZE);
    data_unmap(view);
    mm_data_unref(data);
}

/* A guard page of a view serves once, like any other. */
static void guard_in_a_view(void **state)
{
    struct mm_data *data = data_of_file(data_file("data", SIZE), SIZE, PAGE_READWRITE);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);
    uint32_t old;

    assert_status(data_protect(view, 0x1000, PAGE_READWRITE | PAGE_GUARD, &old), STATUS_SUCCESS);
    assert_int_equal(test_query(test_address(view)).protect, PAGE_READWRITE | PAGE_GUARD);
    assert_false(test_readable(view));
    assert_true(mm_guard_consume(test_address(view)));
    assert_false(mm_guard_consume(test_address(view)));
    assert_true(test_writable(view));
    view[0] = 0x77;
    data_unmap(view);
    view = data_view(data, PAGE_READONLY, 0, 0);
    assert_int_equal(view[0], 0x77);
    data_unmap(view);
    mm_data_unref(data);
}

/* ---- copies -----------------------------------------------------------------------------------
 */

static void copies(void **state)
{
    struct mm_data *data = data_of_file(data_file("data", SIZE), SIZE, PAGE_READWRITE);
    uint8_t *copy = data_view(data, PAGE_WRITECOPY, 0, 0);
    uint8_t *shared = data_view(data, PAGE_READWRITE, 0, 0);
    struct mm_region region;

    shared[0x2000] = 0xA1; /* seen: the page is no copy yet */
    assert_int_equal(copy[0x2000], 0xA1);
    copy[0x2001] = 0xB1;
    assert_int_equal(shared[0x2001], 3);
    shared[0x2000] = 0xA2;
    assert_int_equal(copy[0x2000], 0xA1);
    shared[0x3000] = 0xA3; /* another page still follows */
    assert_int_equal(copy[0x3000], 0xA3);
    region = test_query(test_address(copy));
    assert_int_equal(region.size, 0x2000);
    assert_int_equal(region.protect, PAGE_WRITECOPY);
    region = test_query(test_address(copy) + 0x2000);
    assert_int_equal(region.size, 0x1000);
    assert_int_equal(region.protect, PAGE_READWRITE);
    assert_int_equal(region.allocation_protect, PAGE_WRITECOPY);
    assert_int_equal(region.backing, MM_BACKING_PAGING_FILE);
    assert_int_equal(region.pages_private, 1);
    assert_int_equal(region.pages_shared, 0);
    region = test_query(test_address(copy) + 0x3000);
    assert_int_equal(region.size, SIZE - 0x3000);
    assert_int_equal(region.protect, PAGE_WRITECOPY);
    data_unmap(copy);
    assert_int_equal(shared[0x2001], 3);
    data_unmap(shared);
    mm_data_unref(data);
}

/* VirtualProtect takes pages of a shared view out of the section, and returns those that were not
 * written. */
static void copies_by_protection(void **state)
{
    struct mm_data *data = data_of_file(data_file("data", SIZE), SIZE, PAGE_READWRITE);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0x10000, 0);
    uint8_t *other = data_view(data, PAGE_READWRITE, 0x10000, 0);
    uint32_t old;

    assert_status(data_protect(view + 0x1000, 0x3000, PAGE_WRITECOPY, &old), STATUS_SUCCESS);
    view[0x2000] = 0xC1;
    assert_int_equal(other[0x2000], 19);
    assert_int_equal(test_query(test_address(view) + 0x2000).protect, PAGE_READWRITE);
    assert_int_equal(test_query(test_address(view) + 0x1000).protect, PAGE_WRITECOPY);
    assert_status(data_protect(view, 0x4000, PAGE_READWRITE, &old), STATUS_SUCCESS);
    assert_int_equal(test_query(test_address(view)).protect, PAGE_READWRITE);
    view[0x1000] = 0xC2;
    view[0x2000] = 0xC3;
    view[0x3000] = 0xC4;
    assert_int_equal(other[0x1000], 0xC2);
    assert_int_equal(other[0x2000], 19); /* a copy for good */
    assert_int_equal(other[0x3000], 0xC4);
    assert_int_equal(test_query(test_address(view)).size, SIZE - 0x10000);
    data_unmap(view);
    data_unmap(other);
    mm_data_unref(data);
}

/* ---- offsets, sizes, addresses ------------------------------------------------------------------
 */

static void parts(void **state)
{
    static const struct {
        uint64_t base, offset, size;
        nt_status status;
        uint64_t mapped;
    } rows[] = {
        {0, 0, 0, STATUS_SUCCESS, SIZE},
        {0, 0, 1, STATUS_SUCCESS, 0x1000},
        {0, 0, 0x1001, STATUS_SUCCESS, 0x2000},
        {0, 0, SIZE - 10, STATUS_SUCCESS, SIZE},
        {0, 0x10000, 0, STATUS_SUCCESS, SIZE - 0x10000},
        {0, 0x20000, SIZE - 0x20000 - 10, STATUS_SUCCESS, SIZE - 0x20000},
        {0x48010000, 0x20000, 0x1000, STATUS_SUCCESS, 0x1000},
        {0, 0x1000, 0, (nt_status)STATUS_MAPPED_ALIGNMENT, 0},
        {0, 1, 1, (nt_status)STATUS_MAPPED_ALIGNMENT, 0},
        {0x48011000, 0, 0, (nt_status)STATUS_MAPPED_ALIGNMENT, 0},
        {0x48010001, 0, 0, (nt_status)STATUS_MAPPED_ALIGNMENT, 0},
        {0, 0, SIZE - 9, (nt_status)STATUS_INVALID_VIEW_SIZE, 0},
        {0, 0, UINT64_MAX, (nt_status)STATUS_INVALID_VIEW_SIZE, 0},
        {0, 0x10000, SIZE - 0x10000, (nt_status)STATUS_INVALID_VIEW_SIZE, 0},
        {0, 0x30000, 0, (nt_status)STATUS_INVALID_VIEW_SIZE, 0},
        {0, 0xFFFFFFFFFFFF0000, 0x10000, (nt_status)STATUS_INVALID_VIEW_SIZE, 0},
    };
    struct mm_data *data = data_of_file(data_file("data", SIZE - 10), SIZE - 10, PAGE_READWRITE);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mm_data_map how = {.base = rows[i].base,
                                  .offset = rows[i].offset,
                                  .size = rows[i].size,
                                  .protect = PAGE_READONLY};
        uint64_t base = 0, size = 0;

        assert_status(mm_data_map(data, &how, &base, &size, NULL), rows[i].status);
        assert_int_equal(size, rows[i].mapped);
        if (!nt_ok(rows[i].status))
            continue;
        assert_int_equal(*(uint8_t *)test_ptr(base), rows[i].offset / TEST_PAGE + 1);
        assert_int_equal(test_query(base).size, size);
        if (rows[i].base != 0)
            assert_int_equal(base, rows[i].base);
        data_unmap(test_ptr(base));
    }
    mm_data_unref(data);
}

/* The last page reads as zero behind the end of the file, and what is written there is lost. */
static void tail(void **state)
{
    const uint32_t length = 0x1234;
    int fd = data_file("data", length), again = dup(fd);
    struct mm_data *data = data_of_file(fd, length, PAGE_READWRITE);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);
    struct stat st;

    assert_int_equal(mm_data_size(data), length);
    assert_int_equal(view[length - 1], 2);
    assert_int_equal(view[length], 0);
    assert_int_equal(view[0x1FFF], 0);
    view[length] = 1;
    view[length - 1] = 0x55;
    data_unmap(view);
    mm_data_unref(data);
    assert_int_equal(fstat(again, &st), 0);
    assert_int_equal(st.st_size, length);
    close(again);
}

static void wanted_addresses(void **state)
{
    struct mm_data *data = data_of_memory(0x30000, PAGE_READWRITE, SEC_COMMIT, NULL);
    struct mm_data_map how = {.base = 0x48010000, .protect = PAGE_READWRITE};
    struct mm_data_map low = {.limit = 0x60000000, .protect = PAGE_READWRITE};
    struct pe_error err = {0};
    uint64_t base, size, other;

    assert_status(mm_data_map(data, &how, &base, &size, NULL), STATUS_SUCCESS);
    assert_int_equal(base, 0x48010000);
    how.base = 0x48030000; /* overlaps the end of the first */
    assert_status(mm_data_map(data, &how, &other, &size, &err), STATUS_CONFLICTING_ADDRESSES);
    assert_non_null(
        strstr(err.text, "0x48010000-0x4803ffff is taken by a view of the paging file"));
    how.base = TEST_64_BIT ? 0x7FFFFFFF0000 : 0xFFFF0000;
    assert_status(mm_data_map(data, &how, &other, &size, NULL), STATUS_CONFLICTING_ADDRESSES);
    assert_status(mm_data_map(data, &low, &other, &size, NULL), STATUS_SUCCESS);
    assert_true(other + size <= 0x60000000);
    data_unmap(test_ptr(other));
    data_unmap(test_ptr(base));
    mm_data_unref(data);
}

/* ---- several views ------------------------------------------------------------------------------
 */

/* Overlapping views of two sections over one file, and the file itself, all agree. */
static void coherent(void **state)
{
    int fd = data_file("data", SIZE), again = dup(fd);
    struct mm_data *one = data_of_file(fd, SIZE, PAGE_READWRITE);
    struct mm_data *two = data_of_file(dup(again), SIZE, PAGE_READONLY);
    uint8_t *a = data_view(one, PAGE_READWRITE, 0, 0x20000), byte = 0;
    uint8_t *b = data_view(one, PAGE_READWRITE, 0x10000, 0);
    uint8_t *c = data_view(two, PAGE_READONLY, 0x10000, 0);

    a[0x10005] = 0xD1;
    assert_int_equal(b[5], 0xD1);
    assert_int_equal(c[5], 0xD1);
    b[6] = 0xD2;
    assert_int_equal(a[0x10006], 0xD2);
    assert_int_equal(pread(again, &byte, 1, 0x10006), 1);
    assert_int_equal(byte, 0xD2);
    byte = 0xD3;
    assert_int_equal(pwrite(again, &byte, 1, 0x10007), 1);
    assert_int_equal(b[7], 0xD3);
    data_unmap(a);
    b[8] = 0xD4;
    assert_int_equal(c[8], 0xD4);
    data_unmap(b);
    data_unmap(c);
    mm_data_unref(one);
    mm_data_unref(two);
    close(again);
}

/* A section may begin inside its file, behind another's record. */
static void section_inside_a_file(void **state)
{
    struct mm_data_source source = {.fd = data_file("data", SIZE),
                                    .offset = 0x10000,
                                    .size = 0x18000,
                                    .protect = PAGE_READWRITE,
                                    .paging_file = true};
    struct mm_data *data;
    uint8_t *view;

    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    view = data_view(data, PAGE_READWRITE, 0, 0);
    assert_int_equal(view[0], 17);
    assert_int_equal(test_query(test_address(view)).size, 0x18000);
    data_unmap(view);
    view = data_view(data, PAGE_WRITECOPY, 0x10000, 0);
    assert_int_equal(view[0], 33);
    assert_int_equal(test_query(test_address(view)).size, 0x8000);
    data_unmap(view);
    mm_data_unref(data);
    source.offset = 0x1000;
    assert_status(mm_data_create(&source, &data, NULL), STATUS_MAPPED_ALIGNMENT);
    source.offset = 0;
    source.size = 0;
    assert_status(mm_data_create(&source, &data, NULL), STATUS_INVALID_PARAMETER);
    source.size = (uint64_t)INT64_MAX + 1;
    assert_status(mm_data_create(&source, &data, NULL), STATUS_INVALID_PARAMETER);
    source.size = SIZE;
    source.attributes = SEC_RESERVE;
    assert_status(mm_data_create(&source, &data, NULL), STATUS_INVALID_PARAMETER);
    close(source.fd);
    source.attributes = 0;
    assert_status(mm_data_create(&source, &data, NULL), STATUS_INVALID_HANDLE);
}

static void count_release(void *user)
{
    ++*(int *)user;
}

/* The section and its file live as long as a view. */
static void lifetime(void **state)
{
    int released = 0;
    unsigned fds = test_fd_count(), mappings = test_mapping_count();
    struct mm_data_source source = {.fd = data_file("data", SIZE),
                                    .size = SIZE,
                                    .protect = PAGE_READWRITE,
                                    .release = count_release,
                                    .user = &released};
    struct mm_data *data;
    uint8_t *one, *two;

    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    close(source.fd);
    one = data_view(data, PAGE_READWRITE, 0, 0);
    two = data_view(data, PAGE_READWRITE, 0, 0);
    mm_data_unref(mm_data_ref(data));
    mm_data_unref(data);
    data_unmap(one);
    two[3] = 0x99;
    assert_int_equal(released, 0);
    data_unmap(two);
    assert_int_equal(released, 1);
    assert_int_equal(test_fd_count(), fds);
    assert_int_equal(test_mapping_count(), mappings);
    mm_data_unref(NULL);
}

static void unmapping(void **state)
{
    struct mm_data *data = data_of_memory(SIZE, PAGE_READWRITE, SEC_COMMIT, NULL);
    uint64_t base = 0, size = 0x10000;
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);
    struct pe_error err = {0};

    assert_status(mm_unmap_view(test_address(view) - 1, NULL), STATUS_NOT_MAPPED_VIEW);
    assert_status(mm_unmap_view(test_address(view) + SIZE, NULL), STATUS_NOT_MAPPED_VIEW);
    assert_status(mm_unmap_view(test_address(view) + SIZE - 1, NULL), STATUS_SUCCESS);
    assert_status(mm_unmap_view(test_address(view), &err), STATUS_NOT_MAPPED_VIEW);
    assert_string_not_equal(err.text, "");
    assert_status(mm_unmap_view(0, NULL), STATUS_NOT_MAPPED_VIEW);
    assert_status(mm_unmap_view(UINT64_MAX, NULL), STATUS_NOT_MAPPED_VIEW);
    assert_status(mm_unmap_view(test_address(&err), NULL), STATUS_NOT_MAPPED_VIEW);
    assert_status(mm_alloc(&base, &size, MEM_COMMIT, PAGE_READWRITE, NULL), STATUS_SUCCESS);
    assert_status(mm_unmap_view(base, NULL), STATUS_NOT_MAPPED_VIEW);
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_SUCCESS);
    mm_data_unref(data);
}

/* ---- flushing, caching ------------------------------------------------------------------------
 */

static unsigned written; /* calls of msync(2) that wait for the file system */

int msync(void *address, size_t size, int flags)
{
    int (*real)(void *, size_t, int) =
        (int (*)(void *, size_t, int))(uintptr_t)dlsym(RTLD_NEXT, "msync");

    written += flags == MS_SYNC;
    return real(address, size, flags);
}

static void flushing(void **state)
{
    static const struct {
        uint64_t at, size;
        nt_status status;
        uint64_t from, count;
    } rows[] = {
        {0, 0, STATUS_SUCCESS, 0, SIZE},
        {0x1234, 0, STATUS_SUCCESS, 0x1000, SIZE - 0x1000},
        {0x1234, 1, STATUS_SUCCESS, 0x1000, 0x1000},
        {0x1FFF, 2, STATUS_SUCCESS, 0x1000, 0x2000},
        {0, SIZE, STATUS_SUCCESS, 0, SIZE},
        {1, SIZE, (nt_status)STATUS_INVALID_PARAMETER, 0, 0},
        {SIZE, 1, (nt_status)STATUS_NOT_MAPPED_VIEW, 0, 0},
    };
    struct mm_data *data = data_of_file(data_file("data", SIZE), SIZE, PAGE_READWRITE);
    uint8_t *view = data_view(data, PAGE_READWRITE, 0, 0);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t at = test_address(view) + rows[i].at, size = rows[i].size;

        written = 0;
        assert_status(mm_flush_view(&at, &size, NULL), rows[i].status);
        assert_int_equal(written, nt_ok(rows[i].status));
        if (!nt_ok(rows[i].status))
            continue;
        assert_int_equal(at, test_address(view) + rows[i].from);
        assert_int_equal(size, rows[i].count);
    }
    written = 0;
    data_unmap(view); /* the pages are the file's already */
    assert_int_equal(written, 0);
    mm_data_unref(data);
    /* Nothing to write, and no failure: the paging file, a read-only view, a copy. */
    data = data_of_memory(SIZE, PAGE_READWRITE, SEC_COMMIT, NULL);
    for (size_t i = 0; i < 3; i++) {
        static const uint32_t kinds[] = {PAGE_READWRITE, PAGE_READONLY, PAGE_WRITECOPY};
        uint64_t size = 0, at = test_address(view = data_view(data, kinds[i], 0, 0));

        assert_status(mm_flush_view(&at, &size, NULL), STATUS_SUCCESS);
        assert_int_equal(size, SIZE);
        data_unmap(view);
    }
    assert_int_equal(written, 0);
    mm_data_unref(data);
}

/* SEC_NOCACHE and SEC_WRITECOMBINE show in every answer, and VirtualProtect does not lose them. */
static void caching(void **state)
{
    static const struct {
        uint32_t attribute, modifier, foreign;
    } rows[] = {{SEC_NOCACHE, PAGE_NOCACHE, PAGE_WRITECOMBINE},
                {SEC_WRITECOMBINE, PAGE_WRITECOMBINE, PAGE_NOCACHE}};

    for (size_t i = 0; i < 2; i++) {
        struct mm_data_source source = {.fd = data_file("data", SIZE),
                                        .size = SIZE,
                                        .protect = PAGE_READWRITE,
                                        .attributes = SEC_COMMIT | rows[i].attribute};
        struct mm_data *data;
        struct mm_region region;
        uint32_t old;
        uint8_t *view;

        assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
        assert_int_equal(mm_data_attributes(data), source.attributes);
        assert_int_equal(mm_data_protect(data), PAGE_READWRITE);
        view = data_view(data, PAGE_READWRITE, 0, 0);
        region = test_query(test_address(view));
        assert_int_equal(region.protect, PAGE_READWRITE | rows[i].modifier);
        assert_int_equal(region.allocation_protect, PAGE_READWRITE | rows[i].modifier);
        assert_status(data_protect(view, 0x1000, PAGE_READONLY, &old), STATUS_SUCCESS);
        assert_int_equal(old, PAGE_READWRITE | rows[i].modifier);
        assert_int_equal(test_query(test_address(view)).protect, PAGE_READONLY | rows[i].modifier);
        assert_status(data_protect(view, 0x1000, PAGE_READWRITE | rows[i].modifier, &old),
                      STATUS_SUCCESS);
        assert_status(data_protect(view, 0x1000, PAGE_READWRITE | rows[i].foreign, &old),
                      STATUS_INVALID_PAGE_PROTECTION);
        view[0] = 0x66;
        written = 0;
        data_unmap(view);
        assert_int_equal(written, rows[i].attribute == SEC_NOCACHE); /* write-through */
        assert_int_equal(pread(source.fd, &old, 1, 0), 1);
        assert_int_equal((uint8_t)old, 0x66);
        close(source.fd);
        mm_data_unref(data);
    }
}

/* ---- what cannot be mapped --------------------------------------------------------------------
 */

static int map_on_noexec(void)
{
    struct pe_error err = {0};
    struct mm_data_map how = {.protect = PAGE_EXECUTE_READ};
    struct mm_data *data;
    uint64_t base, size;
    uint32_t old;
    uint8_t *view;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", tempdir, "tmpfs", MS_NOEXEC, NULL) != 0)
        return 77;
    data = data_of_file(data_file("data", SIZE), SIZE, PAGE_EXECUTE_READWRITE);
    if (mm_data_map(data, &how, &base, &size, &err) != (nt_status)STATUS_ACCESS_DENIED ||
        strstr(err.text, "noexec") == NULL)
        return 1;
    view = data_view(data, PAGE_READWRITE, 0, 0);
    /* The view would allow it if it could be had. */
    if (data_protect(view, 0x1000, PAGE_EXECUTE_READ, &old) != (nt_status)STATUS_SECTION_PROTECTION)
        return 2;
    return view[0] == 1 ? 0 : 3;
}

static void noexec_mount(void **state)
{
    pid_t child = fork();
    int code;

    if (child == 0)
        _exit(map_on_noexec());
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == 77)
        skip(); /* not allowed to mount */
    assert_int_equal(WEXITSTATUS(code), 0);
}

/* The descriptor grants less than the section says, or cannot be mapped at all. */
static void unsuitable_files(void **state)
{
    struct mm_data_source source = {.size = SIZE, .protect = PAGE_READWRITE};
    struct mm_data *data;
    int ends[2];
    uint64_t base;

    close(data_file("data", SIZE));
    source.fd = open(tempdir_path("data"), O_RDONLY | O_CLOEXEC);
    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    close(source.fd);
    assert_status(data_try(data, PAGE_READWRITE, 0, 0, &base), STATUS_ACCESS_DENIED);
    data_unmap(data_view(data, PAGE_READONLY, 0, 0));
    data_unmap(data_view(data, PAGE_WRITECOPY, 0, 0));
    mm_data_unref(data);
    assert_int_equal(pipe(ends), 0);
    source.fd = ends[0];
    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    assert_status(data_try(data, PAGE_READONLY, 0, 0, &base), STATUS_INVALID_FILE_FOR_SECTION);
    mm_data_unref(data);
    close(ends[0]);
    close(ends[1]);
}

/* Sizes that no address space has room for. */
static void too_big(void **state)
{
    struct mm_data_source source = {.fd = data_file("data", 0x1000),
                                    .size = INT64_MAX & ~(uint64_t)0xFFFF,
                                    .protect = PAGE_READWRITE};
    struct mm_data *data;
    uint64_t base;

    assert_status(mm_data_create(&source, &data, NULL), STATUS_SUCCESS);
    close(source.fd);
    assert_status(data_try(data, PAGE_READONLY, 0, 0, &base), STATUS_NO_MEMORY);
    data_unmap(data_view(data, PAGE_READONLY, 0x70000000000, 0x1000));
    mm_data_unref(data);
}

/* ---- names ------------------------------------------------------------------------------------
 */

static void names(void **state)
{
    struct mm_data *file = data_of_file(data_file("data", SIZE), SIZE, PAGE_READWRITE);
    struct mm_data *memory = data_of_memory(SIZE, PAGE_READWRITE, SEC_COMMIT, NULL);
    uint8_t *one = data_view(file, PAGE_READWRITE, 0, 0);
    uint8_t *two = data_view(memory, PAGE_READWRITE, 0, 0);
    uint64_t base = 0, size = 0x10000;
    char name[64], cut[5];

    assert_true(mm_region_name(test_address(one) + SIZE - 1, name, sizeof(name)));
    assert_string_equal(name, "/tmp/some.file");
    assert_true(mm_region_name(test_address(one), cut, sizeof(cut)));
    assert_string_equal(cut, "/tmp");
    assert_true(mm_region_name(test_address(two), name, sizeof(name)));
    assert_string_equal(name, "");
    assert_status(mm_alloc(&base, &size, MEM_COMMIT, PAGE_READWRITE, NULL), STATUS_SUCCESS);
    assert_false(mm_region_name(base, name, sizeof(name)));
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_SUCCESS);
    assert_false(mm_region_name(base, name, sizeof(name)));
    /* The host's own: this program. */
    assert_true(mm_region_name(test_address(protections), name, sizeof(name)));
    assert_int_equal(name[0], '/');
    assert_false(mm_region_name(UINT64_MAX, name, sizeof(name)));
    data_unmap(one);
    data_unmap(two);
    mm_data_unref(file);
    mm_data_unref(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_of_sections),
        cmocka_unit_test(no_protections),
        cmocka_unit_test(changes_of_protection),
        cmocka_unit_test(refused_changes),
        cmocka_unit_test(guard_in_a_view),
        cmocka_unit_test(copies),
        cmocka_unit_test(copies_by_protection),
        cmocka_unit_test(parts),
        cmocka_unit_test(tail),
        cmocka_unit_test(wanted_addresses),
        cmocka_unit_test(coherent),
        cmocka_unit_test(section_inside_a_file),
        cmocka_unit_test(lifetime),
        cmocka_unit_test(unmapping),
        cmocka_unit_test(flushing),
        cmocka_unit_test(caching),
        cmocka_unit_test(noexec_mount),
        cmocka_unit_test(unsuitable_files),
        cmocka_unit_test(too_big),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, data_setup, data_teardown);
}
