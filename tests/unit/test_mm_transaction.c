/*
 * Loading is a transaction: whichever call to the kernel fails, nothing is left mapped or open.
 *
 * This program defines the calls that mm/ makes and lets the n-th of them fail, for every n until
 * one load makes fewer. What is left behind is counted in /proc/self.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>

#include "loader/mm/data.h"
#include "tests/unit/mm_test.h"
#include "tests/unit/tempdir.h"

static int countdown; /* 0 = nothing fails */
static bool failed;

static bool must_fail(void)
{
    if (countdown == 0 || --countdown != 0)
        return false;
    failed = true;
    return true;
}

/* The C library's function; a data pointer is the same thing on Linux (POSIX, dlsym). */
#define REAL(name)   ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))
#define REAL64(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name "64"))

void *mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (must_fail()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return REAL64(mmap)(address, size, prot, flags, fd, offset);
}

int mprotect(void *address, size_t size, int prot)
{
    if (must_fail()) {
        errno = ENOMEM;
        return -1;
    }
    return REAL(mprotect)(address, size, prot);
}

int memfd_create(const char *name, unsigned flags)
{
    if (must_fail()) {
        errno = EMFILE;
        return -1;
    }
    return REAL(memfd_create)(name, flags);
}

int ftruncate(int fd, off_t size)
{
    if (must_fail()) {
        errno = ENOSPC;
        return -1;
    }
    return REAL64(ftruncate)(fd, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (must_fail()) {
        errno = ENOSPC;
        return -1;
    }
    return REAL64(pwrite)(fd, bytes, size, offset);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (must_fail()) {
        errno = EIO;
        return -1;
    }
    return REAL64(pread)(fd, bytes, size, offset);
}

int fcntl(int fd, int command, ...)
{
    va_list ap;
    long argument;

    va_start(ap, command);
    argument = va_arg(ap, long);
    va_end(ap);
    if (must_fail()) {
        errno = EMFILE;
        return -1;
    }
    return REAL64(fcntl)(fd, command, argument);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (must_fail()) {
        errno = ENOSPC;
        return -1;
    }
    return REAL64(fallocate)(fd, mode, offset, size);
}

static void write_image(void)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);

    b->h.file_alignment = b->h.size_of_headers = 0x1000;
    b->h.section_alignment = 0x2000;
    b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0x3000);
    pebuild_section(b, "Shared", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, "shared", 6, 0);
    pebuild_section(b, ".rdata", PEBUILD_RDATA, "rdata", 5, 0);
    assert_true(pebuild_finish_file(b, tempdir_path("image.dll")));
}

enum { DATA = 0x4000, SHARED = 0x8000 };

static nt_status use_view(struct mm_view *view, struct pe_error *err)
{
    uint64_t base = mm_view_base(view) + DATA, size = 0x2000;
    uint32_t old;
    nt_status status = mm_view_privatize(view, SHARED, 8, err);

    if (nt_ok(status))
        status = mm_view_patch_image_base(view, err);
    if (nt_ok(status))
        status = mm_view_seal(view, err);
    if (nt_ok(status))
        status = mm_protect(&base, &size, PAGE_EXECUTE_READ, &old, err);
    if (nt_ok(status))
        status = mm_view_unseal(view, err);
    if (nt_ok(status))
        status = mm_view_seal(view, err);
    return status;
}

/* Everything a load does; what a failing step leaves is what its caller has to give back. */
static nt_status load(int fd, int backing, struct pe_error *err)
{
    struct mm_map_options options = {.base = 0x48000000, .shared_fd = backing};
    struct mm_section *section = NULL;
    struct mm_view *view = NULL;
    nt_status status = mm_section_create_image(fd, "image.dll", PE_WINDOWS_10, &section, err);

    if (nt_ok(status))
        status = mm_section_write_shared(section, backing, err);
    if (nt_ok(status))
        status = mm_view_map(section, &options, &view, NULL, 0, err);
    if (nt_ok(status))
        status = use_view(view, err);
    mm_view_unmap(view);
    mm_section_unref(section);
    return status;
}

static nt_status allocate(int fd, int backing, struct pe_error *err)
{
    uint64_t base = 0, size = 0x5000, at;
    uint32_t old;
    nt_status status = mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, err);

    if (!nt_ok(status))
        return status;
    at = base;
    status = mm_protect(&at, &size, PAGE_READONLY, &old, err);
    if (nt_ok(status))
        status = mm_free(base, 0x1000, MEM_DECOMMIT, err);
    size = 0x1000;
    if (nt_ok(status))
        status = mm_alloc(&base, &size, MEM_COMMIT, PAGE_READWRITE, err);
    countdown = 0;
    assert_status(mm_free(base, 0, MEM_RELEASE, NULL), STATUS_SUCCESS);
    return status;
}

#define MIRROR 0x4C000000u

/* Its range stays for good when it was taken; both ends are mapped, or neither. */
static nt_status mirror(int fd, int backing, struct pe_error *err)
{
    void *writable;

    return mm_mirror_back(MIRROR, 0x1000, &writable, err);
}

/* Commits, changes and flushes pages of a view that is there. */
static nt_status use_data_view(uint64_t base, struct pe_error *err)
{
    uint64_t at = base, size = 0x1000;
    uint32_t old;
    nt_status status = mm_alloc(&at, &size, MEM_COMMIT, PAGE_READWRITE, err);

    if (nt_ok(status))
        status = mm_protect(&at, &size, PAGE_WRITECOPY, &old, err);
    if (nt_ok(status))
        status = mm_protect(&at, &size, PAGE_READWRITE, &old, err);
    if (nt_ok(status))
        status = mm_flush_view(&at, &size, err);
    countdown = 0;
    /* Whatever failed: the page does what VirtualQuery says, at the latest after a fault. */
    mm_commit_refresh(base, 0x1000);
    assert_int_equal(test_writable(test_ptr(base)), (test_query(base).protect & 0xC) != 0);
    return status;
}

static nt_status view_of_data(int fd, int backing, struct pe_error *err)
{
    uint32_t commit = 0;
    struct mm_data_source source = {.fd = backing,
                                    .size = 0x10000,
                                    .protect = PAGE_READWRITE,
                                    .attributes = SEC_RESERVE,
                                    .paging_file = true,
                                    .commit = &commit};
    struct mm_data_map how = {.protect = PAGE_READWRITE};
    struct mm_data *data = NULL;
    uint64_t base, size;
    nt_status status;

    status = mm_data_create(&source, &data, err);
    if (nt_ok(status))
        status = mm_data_map(data, &how, &base, &size, err);
    if (nt_ok(status)) {
        status = use_data_view(base, err);
        assert_status(mm_unmap_view(base + 5, NULL), STATUS_SUCCESS);
    }
    mm_data_unref(data);
    return status;
}

static void fail_each(nt_status (*operation)(int, int, struct pe_error *), int min_calls)
{
    int fd = open(tempdir_path("image.dll"), O_RDONLY | O_CLOEXEC);
    int backing = open(tempdir_path("backing"), O_RDWR | O_CREAT | O_CLOEXEC, 0600), n;

    assert_true(fd >= 0 && backing >= 0);
    assert_int_equal(ftruncate(backing, 0x1000), 0);
    for (n = 1;; n++) {
        struct pe_error err = {0};
        unsigned mappings = test_mapping_count(), fds = test_fd_count();
        nt_status status;

        failed = false;
        countdown = n;
        status = operation(fd, backing, &err);
        countdown = 0;
        if (!failed)
            break;
        /* What can be done without, is: a file that cannot be mapped, a taken base. */
        if (!nt_ok(status))
            assert_string_not_equal(err.text, "");
        if (!nt_ok(status) || operation != mirror)
            assert_int_equal(test_mapping_count(), mappings);
        assert_int_equal(test_fd_count(), fds);
        assert_int_equal(test_query(0x48000000).state, MEM_FREE);
    }
    assert_true(n > min_calls);
    assert_status(operation(fd, backing, NULL), STATUS_SUCCESS);
    close(fd);
    close(backing);
}

static void failing_load(void **state)
{
    fail_each(load, 20);
}

static void failing_allocation(void **state)
{
    fail_each(allocate, 4);
}

static void failing_data_view(void **state)
{
    fail_each(view_of_data, 6);
}

static void failing_mirror(void **state)
{
    assert_status(mm_mirror_reserve(MIRROR, 0x1000, NULL), STATUS_SUCCESS);
    fail_each(mirror, 4);
}

static void thousand_loads(void **state)
{
    int fd = open(tempdir_path("image.dll"), O_RDONLY | O_CLOEXEC);
    int backing = open(tempdir_path("backing"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    unsigned mappings, fds;

    assert_status(load(fd, backing, NULL), STATUS_SUCCESS);
    mappings = test_mapping_count();
    fds = test_fd_count();
    for (int i = 0; i < 1000; i++)
        assert_status(load(fd, backing, NULL), STATUS_SUCCESS);
    assert_int_equal(test_mapping_count(), mappings);
    assert_int_equal(test_fd_count(), fds);
    close(fd);
    close(backing);
}

/* A view holds its section object, whoever else lets go of it. */
static void view_outlives_section(void **state)
{
    int fd = open(tempdir_path("image.dll"), O_RDONLY | O_CLOEXEC);
    struct mm_map_options options = {.shared_fd = -1};
    struct mm_section *section;
    struct mm_view *view;
    unsigned fds;

    assert_status(mm_section_create_image(fd, "image.dll", PE_WINDOWS_10, &section, NULL),
                  STATUS_SUCCESS);
    assert_ptr_equal(mm_section_ref(section), section);
    mm_section_unref(section);
    assert_true(nt_ok(mm_view_map(section, &options, &view, NULL, 0, NULL)));
    mm_section_unref(section);
    fds = test_fd_count();
    close(fd);
    assert_memory_equal(test_at(view, DATA), "data", 4);
    assert_ptr_equal(mm_view_section(view), section);
    mm_view_unmap(view);
    /* The object and the file that it keeps open. */
    assert_int_equal(test_fd_count(), fds - 3);
    mm_view_unmap(NULL);
    mm_section_unref(NULL);
}

static int set_up(void **state)
{
    if (tempdir_create() != 0)
        return -1;
    write_image();
    return 0;
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_load),      cmocka_unit_test(failing_allocation),
        cmocka_unit_test(failing_data_view), cmocka_unit_test(failing_mirror),
        cmocka_unit_test(thousand_loads),    cmocka_unit_test(view_outlives_section),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
