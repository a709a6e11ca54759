/*
 * Views of image section objects: where they go, what they show, what may be done with their pages.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "loader/mm/section_object.h"
#include "tests/unit/mm_test.h"
#include "tests/unit/tempdir.h"

static struct pebuild *sample(unsigned flags)
{
    struct pebuild *b = pebuild_new(flags);

    pebuild_section(b, ".text", PEBUILD_TEXT, "\xC3text", 5, 0);
    pebuild_section(b, ".rdata", PEBUILD_RDATA, "rdata", 5, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0x2000);
    return b;
}

enum { TEXT = 0x1000, RDATA = 0x2000, DATA = 0x3000 };

static void at_preferred_base(void **state)
{
    static const struct {
        unsigned flags;
        uint64_t base;
        bool needs_64;
    } rows[] = {
        {PEBUILD_DLL, 0x10000000, false},
        {PEBUILD_EXE, 0x400000, false},
        {PEBUILD_DLL | PEBUILD_PE32_PLUS, 0x180000000, true},
        {PEBUILD_EXE | PEBUILD_PE32_PLUS, 0x140000000, true},
    };

    for (unsigned i = 0; i < 4; i++) {
        struct mm_section *section = test_section(sample(rows[i].flags));
        struct mm_map_options options = {.shared_fd = -1};
        bool possible = !rows[i].needs_64 || (TEST_64_BIT && !TEST_ASAN);
        char conflict[200] = "?";
        struct mm_view *view;
        nt_status status = mm_view_map(section, &options, &view, conflict, sizeof(conflict), NULL);

        if (possible) {
            assert_status(status, STATUS_SUCCESS);
            assert_int_equal(mm_view_base(view), rows[i].base);
            assert_string_equal(conflict, "");
        } else {
            assert_status(status, STATUS_IMAGE_NOT_AT_BASE);
            assert_true(*conflict != '\0' || TEST_ASAN); /* the shadow is the host's */
        }
        assert_int_equal(mm_view_base(view) % 0x10000, 0);
        assert_int_equal(mm_view_size(view), 0x5000);
        mm_view_unmap(view);
        mm_section_unref(section);
    }
}

static void content(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_view *view = test_map(section, 0);

    test_seal(view);
    assert_memory_equal(test_at(view, 0), "MZ", 2);
    assert_memory_equal(test_at(view, TEXT), "\xC3text", 5);
    assert_memory_equal(test_at(view, DATA), "data", 4);
    /* The header page is zero behind SizeOfHeaders; sections behind their raw data. */
    for (uint32_t rva = 0x400; rva < TEXT; rva++)
        assert_int_equal(*test_at(view, rva), 0);
    for (uint32_t rva = DATA + 4; rva < DATA + 0x2000; rva++)
        assert_int_equal(*test_at(view, rva), 0);
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* Bytes between SizeOfHeaders and the first raw data are in the file, not in memory (behaviours).
 */
static void header_tail_is_hidden(void **state)
{
    struct pebuild *b = sample(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;
    uint64_t size;
    uint8_t *bytes;

    b->h.size_of_headers = 0x3F0;
    bytes = pebuild_finish(b, &size);
    memset(bytes + 0x3F0, 0xEE, 0x10);
    assert_status(
        mm_section_create_image_from_memory(bytes, size, "x", PE_WINDOWS_10, &section, NULL),
        STATUS_SUCCESS);
    free(bytes);
    view = test_map(section, 0);
    for (uint32_t rva = 0x3F0; rva < 0x400; rva++)
        assert_int_equal(*test_at(view, rva), 0);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void sealed_protections(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_view *view = test_map(section, 0);
    uint64_t base = mm_view_base(view);

    /* Open: everything can be written, nothing executed. */
    assert_string_equal(test_permissions(base + TEXT), "rw-p");
    assert_true(test_writable(test_at(view, 0)));
    test_seal(view);
    assert_string_equal(test_permissions(base), "r--p");
    assert_string_equal(test_permissions(base + TEXT), "r-xp");
    assert_string_equal(test_permissions(base + RDATA), "r--p");
    assert_string_equal(test_permissions(base + DATA), "rw-p");
    assert_false(test_writable(test_at(view, 0)));
    assert_false(test_writable(test_at(view, TEXT)));
    assert_true(test_writable(test_at(view, DATA)));
    /* Opened again and closed. */
    assert_status(mm_view_unseal(view, NULL), STATUS_SUCCESS);
    assert_true(test_writable(test_at(view, RDATA)));
    assert_string_equal(test_permissions(base + TEXT), "rw-p");
    test_seal(view);
    assert_false(test_writable(test_at(view, RDATA)));
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void moves_when_base_is_taken(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_view *first = test_map(section, 0), *second;
    struct mm_map_options options = {.shared_fd = -1};
    char conflict[200];

    assert_status(mm_view_map(section, &options, &second, conflict, sizeof(conflict), NULL),
                  STATUS_IMAGE_NOT_AT_BASE);
    assert_int_equal(mm_view_base(first), 0x10000000);
    assert_int_equal(mm_view_base(second) % 0x10000, 0);
    assert_string_equal(conflict, "0x10000000-0x10004fff is taken by test.dll");
    assert_memory_equal(test_at(second, DATA), "data", 4);
    mm_view_unmap(first);
    mm_view_unmap(second);
    mm_section_unref(section);
}

static void names_host_mapping(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_map_options options = {.base = 0x44000000, .shared_fd = -1};
    struct mm_view *view;
    char conflict[300];
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *page =
        mmap(test_ptr(0x44001000), TEST_PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);

    assert_ptr_equal(page, test_ptr(0x44001000));
    assert_status(mm_view_map(section, &options, &view, conflict, sizeof(conflict), NULL),
                  STATUS_IMAGE_NOT_AT_BASE);
    assert_string_equal(conflict, ""); /* it is looked up when somebody wants to know */
    mm_describe_host_conflict(options.base, mm_view_size(view), conflict, sizeof(conflict));
    assert_non_null(strstr(conflict, "0x44001000-0x44001fff is taken by /"));
    assert_non_null(strstr(conflict, "mm_view"));
    mm_view_unmap(view);
    munmap(page, TEST_PAGE);
    close(fd);
    mm_section_unref(section);
}

static void exact_base(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_map_options options = {.base = 0x48000000, .exact = true, .shared_fd = -1};
    struct mm_view *first, *second = NULL;
    struct pe_error err = {0};
    unsigned mappings, fds;

    assert_status(mm_view_map(section, &options, &first, NULL, 0, NULL), STATUS_SUCCESS);
    assert_int_equal(mm_view_base(first), 0x48000000);
    mappings = test_mapping_count();
    fds = test_fd_count();
    assert_status(mm_view_map(section, &options, &second, NULL, 0, &err),
                  STATUS_CONFLICTING_ADDRESSES);
    assert_null(second);
    assert_status(err.status, STATUS_CONFLICTING_ADDRESSES);
    assert_non_null(strstr(err.text, "taken by test.dll"));
    assert_int_equal(test_mapping_count(), mappings);
    assert_int_equal(test_fd_count(), fds);
    mm_view_unmap(first);
    mm_section_unref(section);
}

/* Bases that can never be used (facts 1.5, rule ldr.must_move). */
static void must_move(void **state)
{
    static const uint64_t bases[] = {0, 0x80000000, 0xFFFF0000};

    for (unsigned i = 0; i < 3; i++) {
        struct pebuild *b = sample(PEBUILD_DLL);
        struct mm_map_options options = {.shared_fd = -1};
        struct mm_section *section;
        struct mm_view *view;
        char conflict[200];

        b->h.image_base = bases[i];
        section = test_section(b);
        assert_status(mm_view_map(section, &options, &view, conflict, sizeof(conflict), NULL),
                      STATUS_IMAGE_NOT_AT_BASE);
        assert_string_not_equal(conflict, "");
        assert_true(mm_view_base(view) >= 0x10000);
        mm_view_unmap(view);
        options.exact = true;
        assert_status(mm_view_map(section, &options, &view, NULL, 0, NULL),
                      STATUS_CONFLICTING_ADDRESSES);
        mm_section_unref(section);
    }
}

/* A wanted base inside a 64 KiB unit is no base. */
static void unaligned_base(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_view *view = test_map(section, 0x48001000);

    assert_int_not_equal(mm_view_base(view), 0x48001000);
    assert_int_equal(mm_view_base(view) % 0x10000, 0);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static void stays_below_limits(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_view *blocker = test_map(section, 0), *low, *lower[3];
    struct mm_map_options options = {.shared_fd = -1, .below_4gib = true};

    assert_true(nt_ok(mm_view_map(section, &options, &low, NULL, 0, NULL)));
    assert_true(mm_view_base(low) + mm_view_size(low) <= 0x100000000);
    options.below_2gib = true;
    for (int i = 0; i < 3; i++) {
        assert_true(nt_ok(mm_view_map(section, &options, &lower[i], NULL, 0, NULL)));
        assert_true(mm_view_base(lower[i]) + mm_view_size(lower[i]) <= 0x80000000);
        /* KUSER_SHARED_DATA has its address for itself. */
        assert_int_not_equal(mm_view_base(lower[i]), 0x7FFE0000);
        assert_int_equal(mm_view_base(lower[i]) % 0x10000, 0);
    }
    for (int i = 0; i < 3; i++)
        mm_view_unmap(lower[i]);
    mm_view_unmap(low);
    mm_view_unmap(blocker);
    mm_section_unref(section);
}

/* 256 MiB of zero fill: nothing but holes, yet readable, and writable page by page. */
static void huge_zero_fill(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;
    struct stat st;

    pebuild_section(b, ".bss", PEBUILD_BSS | IMAGE_SCN_MEM_EXECUTE, NULL, 0, 0x10000000);
    section = test_section(b);
    view = test_map(section, 0);
    test_seal(view);
    assert_int_equal(fstat(section->object_fd, &st), 0);
    assert_true(st.st_blocks * 512 <= 2 * TEST_PAGE);
    assert_int_equal(*test_at(view, 0x8000000), 0);
    *test_at(view, 0xFFFFFFF) = 1;
    assert_int_equal(test_protect_of(view, 0xFFFF000), PAGE_EXECUTE_READWRITE);
    assert_int_equal(test_protect_of(view, 0x8000000), PAGE_EXECUTE_WRITECOPY);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static uint64_t shown_base(const struct mm_view *view)
{
    struct pe_image mapped;
    struct pe_span bytes = {test_at(view, 0), mm_view_size(view)};

    assert_status(pe_open(bytes, PE_LAYOUT_MAPPED, &mapped, NULL), STATUS_SUCCESS);
    return mapped.h.image_base;
}

/* Facts 2.3: a moved image shows its new base if it is DYNAMIC_BASE, and only then. */
static void patched_header(void **state)
{
    for (int kind = 0; kind < 4; kind++) {
        struct pebuild *b = sample(kind & 1 ? PEBUILD_DLL | PEBUILD_PE32_PLUS : PEBUILD_DLL);
        bool dynamic = kind & 2;
        uint64_t preferred = b->h.image_base;
        struct mm_section *section;
        struct mm_view *first, *second;
        struct mm_region header;

        if (dynamic)
            b->h.dll_characteristics |= IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
        section = test_section(b);
        first = test_map(section, 0x48000000);
        assert_status(mm_view_patch_image_base(first, NULL), STATUS_SUCCESS);
        test_seal(first);
        assert_int_equal(shown_base(first), dynamic ? 0x48000000 : preferred);
        assert_int_equal(mm_view_image(first)->h.image_base, preferred);
        /* The first view's patch is in the object: no private page. */
        header = test_query(0x48000000);
        assert_int_equal(header.pages_private, 0);
        assert_int_equal(header.backing, MM_BACKING_IMAGE_FILE);
        /* A second one elsewhere shows its own base, and the first keeps what it shows. */
        second = test_map(section, 0x4C000000);
        assert_status(mm_view_patch_image_base(second, NULL), STATUS_SUCCESS);
        test_seal(second);
        assert_int_equal(shown_base(second), dynamic ? 0x4C000000 : preferred);
        assert_int_equal(shown_base(first), dynamic ? 0x48000000 : preferred);
        mm_view_unmap(first);
        mm_view_unmap(second);
        mm_section_unref(section);
    }
}

/* After the first seal nobody can change the object any more, not even through its descriptor. */
static void sealed_object(void **state)
{
    struct mm_section *section = test_section(sample(PEBUILD_DLL));
    struct mm_view *view = test_map(section, 0);

    assert_int_equal(pwrite(section->object_fd, "x", 1, 0), 1);
    assert_int_equal(pwrite(section->object_fd, "M", 1, 0), 1);
    test_seal(view);
    assert_int_equal(pwrite(section->object_fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(section->object_fd, 0), -1);
    assert_true(mmap(NULL, TEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, section->object_fd, 0) ==
                MAP_FAILED);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static int create_from_file(struct pebuild *b, struct mm_section **section, struct pe_error *err)
{
    const char *path = tempdir_path("image.dll");
    int fd;
    nt_status status;

    assert_true(pebuild_finish_file(b, path));
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    status = mm_section_create_image(fd, "image.dll", PE_WINDOWS_10, section, err);
    assert_status(status, STATUS_SUCCESS);
    return fd;
}

/* Page-aligned raw data: the pages are the file's own. The tail that is not comes from the object.
 */
static void mapped_from_file(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    uint8_t data[0x1800];
    struct mm_section *section;
    struct mm_view *view;
    struct mm_region region;
    const struct mm_extent *extents;
    struct mm_file_id id;
    struct stat st;
    uint32_t count, cursor = 0x1000;
    int fd;

    memset(data, 0xAB, sizeof(data));
    b->h.file_alignment = b->h.size_of_headers = 0x1000;
    pebuild_section(b, ".text", PEBUILD_TEXT, data, sizeof(data), 0x3000);
    fd = create_from_file(b, &section, NULL);
    extents = mm_section_extents(section, &count);
    assert_int_equal(count, 3);
    assert_int_equal(extents[1].source, MM_SOURCE_FILE);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(mm_section_file_id(section, &id));
    assert_int_equal(id.ino, st.st_ino);
    assert_int_equal(id.size, st.st_size);
    close(fd);
    view = test_map(section, 0);
    test_seal(view);
    assert_memory_equal(test_at(view, 0x1000), data, sizeof(data));
    for (uint32_t rva = 0x2800; rva < 0x4000; rva++)
        assert_int_equal(*test_at(view, rva), 0);
    assert_string_equal(test_permissions(mm_view_base(view) + 0x1000), "r-xp");
    /* One region of one PE section, whatever it is mapped from. */
    assert_true(mm_view_next_region(view, &cursor, &region));
    assert_int_equal(region.size, 0x3000);
    assert_int_equal(region.backing, MM_BACKING_IMAGE_FILE);
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* On a noexec mount the file cannot back code, so all of the image comes from the object. */
static void noexec_mount(void **state)
{
    pid_t child = fork();
    int code;

    if (child == 0) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        struct mm_section *section;
        struct mm_view *view;
        uint32_t count;

        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", tempdir, "tmpfs", MS_NOEXEC, NULL) != 0)
            _exit(77);
        b->h.file_alignment = b->h.size_of_headers = 0x1000;
        pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
        close(create_from_file(b, &section, NULL));
        view = test_map(section, 0);
        test_seal(view);
        _exit(mm_section_extents(section, &count)[1].source == MM_SOURCE_OBJECT &&
                      memcmp(test_at(view, 0x1000), "text", 4) == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == 77)
        skip(); /* not allowed to mount */
    assert_int_equal(WEXITSTATUS(code), 0);
}

/* NT headers and section table far behind the DOS header are found in a file as in memory. */
static void far_headers(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;
    struct pe_section text;

    b->h.e_lfanew = 0x123450;
    b->h.size_of_headers = 0x124000;
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    close(create_from_file(b, &section, NULL));
    view = test_map(section, 0);
    assert_true(pe_section_at(mm_view_image(view), 0, &text));
    assert_string_equal(text.name, ".text");
    assert_int_equal(text.virtual_address, 0x124000);
    assert_memory_equal(test_at(view, 0x123450), "PE", 3);
    assert_memory_equal(test_at(view, 0x124000), "text", 4);
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* A write to a view stays in the process: neither the file nor another view sees it. */
static void writes_are_private(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *one, *two;
    char byte;
    int fd;

    b->h.file_alignment = b->h.size_of_headers = 0x1000;
    pebuild_section(b, ".data", PEBUILD_DATA, "old", 3, 0);
    fd = create_from_file(b, &section, NULL);
    one = test_map(section, 0);
    two = test_map(section, 0);
    test_seal(one);
    test_seal(two);
    *test_at(one, 0x1000) = 'X';
    assert_int_equal(*test_at(two, 0x1000), 'o');
    assert_int_equal(pread(fd, &byte, 1, 0x1000), 1);
    assert_int_equal(byte, 'o');
    mm_view_unmap(one);
    mm_view_unmap(two);
    close(fd);
    mm_section_unref(section);
}

/* Facts 1.5. */
static void refused_files(void **state)
{
    static const struct {
        const char *content;
        size_t size;
        nt_status status;
    } rows[] = {
        {"", 0, STATUS_INVALID_FILE_FOR_SECTION},
        {"not an image", 12, STATUS_INVALID_IMAGE_NOT_MZ},
        {"MZ", 2, STATUS_INVALID_IMAGE_PROTECT},
    };
    unsigned mappings = test_mapping_count(), fds = test_fd_count();

    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct mm_section *section = NULL;
        struct pe_error err = {0};
        int fd;

        tempdir_write("bad", rows[i].content, rows[i].size);
        fd = open(tempdir_path("bad"), O_RDONLY | O_CLOEXEC);
        assert_status(mm_section_create_image(fd, "bad", PE_WINDOWS_10, &section, &err),
                      rows[i].status);
        assert_null(section);
        assert_int_equal(strncmp(err.text, "bad: ", 5), 0);
        close(fd);
    }
    assert_int_equal(test_mapping_count(), mappings);
    assert_int_equal(test_fd_count(), fds);
}

static void refused_kinds(void **state)
{
    struct mm_section *section = NULL;
    int dir = open(tempdir, O_RDONLY | O_CLOEXEC), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int huge = open(tempdir_path("huge"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_status(mm_section_create_image(dir, "d", PE_WINDOWS_10, &section, NULL),
                  STATUS_FILE_IS_A_DIRECTORY);
    assert_status(mm_section_create_image(null, "n", PE_WINDOWS_10, &section, NULL),
                  STATUS_INVALID_FILE_FOR_SECTION);
    assert_int_equal(ftruncate(huge, 0x100000000), 0);
    assert_status(mm_section_create_image(huge, "h", PE_WINDOWS_10, &section, NULL),
                  STATUS_INVALID_FILE_FOR_SECTION);
    assert_null(section);
    close(dir);
    close(null);
    close(huge);
}

/* The bytes of a file are a copy: truncating it later harms nobody. */
static void file_bytes(void **state)
{
    struct pe_span span;
    int fd;

    tempdir_write("bytes", "0123456789", 10);
    fd = open(tempdir_path("bytes"), O_RDWR | O_CLOEXEC);
    assert_status(mm_file_map(fd, "bytes", &span, NULL), STATUS_SUCCESS);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(span.size, 10);
    assert_memory_equal(span.data, "0123456789", 10);
    mm_file_unmap(span);
    close(fd);
}

/* Gaps and PAGE_NOACCESS can be read while the view is open, and not afterwards. */
static void unreadable_pages(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;

    b->h.section_alignment = 0x2000;
    pebuild_section(b, ".none", IMAGE_SCN_CNT_INITIALIZED_DATA, "x", 1, 0);
    section = test_section(b);
    view = test_map(section, 0);
    assert_true(test_readable(test_at(view, 0x1000)));
    assert_true(mm_view_readable(view, 0x1000, 0x3000));
    assert_false(mm_view_readable(view, 0x3FFF, 2));
    test_seal(view);
    assert_true(mm_view_readable(view, 0, 0x1000));
    assert_false(mm_view_readable(view, 0xFFF, 2));
    assert_false(mm_view_readable(view, 0x2000, 1));
    assert_false(test_readable(test_at(view, 0x1000)));
    assert_false(test_readable(test_at(view, 0x2000)));
    mm_view_unmap(view);
    mm_section_unref(section);
}

/* The second page of the headers is a PE section's: directories come from there (behaviours). */
static void directories_from_memory(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct mm_section *section;
    struct mm_view *view;
    uint8_t page[0x1000] = {0};

    b->h.e_lfanew = 0xFA0; /* PE32: the directories begin at 0x1018 */
    b->h.size_of_headers = 0x1000;
    pebuild_put32(page, 0x14, 16); /* NumberOfRvaAndSizes */
    pebuild_put32(page, 0x18, 0x1234);
    pebuild_put32(page, 0x1C, 0x28);
    pebuild_section(b, ".over", PEBUILD_RDATA, page, sizeof(page), 0);
    b->next_offset = 0x2000;
    b->sections[0].pointer_to_raw_data = b->sections[0].data_offset = 0x2000;
    section = test_section(b);
    view = test_map(section, 0);
    assert_int_equal(mm_section_headers(section)->directory[0].rva, 0);
    assert_int_equal(mm_view_image(view)->h.directory[0].rva, 0x1234);
    assert_int_equal(mm_view_image(view)->h.directory[0].size, 0x28);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static int set_up(void **state)
{
    return tempdir_create();
}

static int tear_down(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_preferred_base),
        cmocka_unit_test(content),
        cmocka_unit_test(header_tail_is_hidden),
        cmocka_unit_test(sealed_protections),
        cmocka_unit_test(moves_when_base_is_taken),
        cmocka_unit_test(names_host_mapping),
        cmocka_unit_test(exact_base),
        cmocka_unit_test(must_move),
        cmocka_unit_test(unaligned_base),
        cmocka_unit_test(stays_below_limits),
        cmocka_unit_test(huge_zero_fill),
        cmocka_unit_test(patched_header),
        cmocka_unit_test(sealed_object),
        cmocka_unit_test(mapped_from_file),
        cmocka_unit_test(noexec_mount),
        cmocka_unit_test(far_headers),
        cmocka_unit_test(writes_are_private),
        cmocka_unit_test(refused_files),
        cmocka_unit_test(refused_kinds),
        cmocka_unit_test(file_bytes),
        cmocka_unit_test(unreadable_pages),
        cmocka_unit_test(directories_from_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
