/*
 * Pages that are made private ahead of fixups: the same bytes and the same pages as without it,
 * from every kind of extent, also where huge pages take their place.
 */
#include <fcntl.h>

#include "loader/mm/maps.h"
#include "reloc/reloc.h"
#include "tests/unit/mm_test.h"
#include "tests/unit/tempdir.h"

enum {
    DATA = 0x1000,
    DATA_PAGES = 0x600,
    BSS_PAGES = 0x40,
    GAP_PAGES = 7, /* every 8th page behind the dense ones has a fixup, the others have none */
    DENSE = 0x540, /* a whole huge page's room wherever it begins */
    HUGE_PAGE = 0x200000,
};
static const int64_t delta = 0x30000;

static void put_block(struct pebuild_buffer *b, uint32_t rva)
{
    pebuild_u32(b, rva);
    pebuild_u32(b, 12);
    pebuild_u16(b, 3 << 12 | 0x10);
    pebuild_u16(b, 3 << 12 | 0xff0);
}

static struct pebuild *image(uint32_t file_alignment, uint32_t dense, uint32_t *dirtied)
{
    static uint8_t data[DATA_PAGES * 0x1000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL);

    b->h.file_alignment = file_alignment;
    b->h.size_of_headers = file_alignment == 0x1000 ? 0x1000 : 0x400;
    for (uint32_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 0x1000);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof(data),
                    (DATA_PAGES + BSS_PAGES) * 0x1000);
    struct pebuild_buffer buffer = pebuild_buffer(b);
    *dirtied = 0;
    for (uint32_t page = 0; page < DATA_PAGES + BSS_PAGES;
         page += page + 1 < dense ? 1 : GAP_PAGES + 1) {
        put_block(&buffer, DATA + page * 0x1000);
        ++*dirtied;
    }
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, buffer.rva, buffer.size);
    pebuild_buffer_section(&buffer, ".reloc", PEBUILD_RDATA);
    return b;
}

/* As they do in most systems; not where they are switched off. */
static bool system_has_huge_pages(void)
{
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    char line[64] = "";
    bool has = file != NULL && fgets(line, sizeof(line), file) && !strstr(line, "[never]");

    if (file != NULL)
        fclose(file);
    return has;
}

static uint32_t huge_pages;

static uint32_t prepare(void *view, uint32_t rva, uint32_t len)
{
    uint32_t done = mm_view_prepare_write(view, rva, len);

    assert_true(done > 0 && done <= len && done % 0x1000 == 0);
    huge_pages += done == HUGE_PAGE;
    return done;
}

static struct mm_view *relocated(struct mm_section *section, uint64_t base, bool prepared,
                                 struct reloc_plan *plan)
{
    struct mm_view *view = test_map(section, base);
    const struct reloc_memory memory = {view, NULL, prepared ? prepare : NULL};

    assert_status(reloc_apply_in(mm_view_image(view), delta, &memory, plan, NULL), STATUS_SUCCESS);
    return view;
}

static uint64_t private_pages(const struct mm_view *view)
{
    struct mm_region region;
    uint64_t pages = 0;

    for (uint32_t cursor = 0; mm_view_next_region(view, &cursor, &region);)
        pages += region.pages_private;
    return pages;
}

static bool is_anonymous(uint64_t address)
{
    struct mm_maps maps;
    struct mm_map_entry entry = {0};

    assert_true(mm_maps_open(&maps));
    while (mm_maps_next(&maps, &entry) && entry.end <= address)
        ;
    mm_maps_close(&maps);
    assert_true(entry.start <= address && address < entry.end);
    return entry.inode == 0;
}

/* A run of pages with fixups, and which of its ends got huge pages. */
struct run {
    uint32_t pages, begin; /* in the room of a huge page */
    bool first, last;
};

/* Reads every private page's content, so nothing of it may depend on which way it became private.
 */
static void compare(struct mm_section *section, uint64_t base, const struct run *run,
                    uint32_t dirtied)
{
    struct reloc_plan plan, other_plan;
    struct mm_view *with, *without;

    huge_pages = 0;
    with = relocated(section, base, true, &plan);
    without = relocated(section, 0, false, &other_plan);
    assert_true(huge_pages > 0 || run != NULL || !system_has_huge_pages());
    assert_int_equal(plan.pages_dirtied, dirtied);
    assert_int_equal(other_plan.pages_dirtied, dirtied);
    assert_memory_equal(test_at(with, 0), test_at(without, 0), mm_view_size(with));
    test_seal(with);
    test_seal(without);
    assert_int_equal(private_pages(with), dirtied);
    assert_int_equal(private_pages(without), dirtied);
    if (run != NULL) {
        assert_int_equal(is_anonymous(base + DATA), run->first);
        assert_int_equal(is_anonymous(base + DATA + run->pages * 0x1000 - 1), run->last);
        assert_false(is_anonymous(base));
        assert_false(is_anonymous(base + DATA + run->pages * 0x1000));
    }
    assert_string_equal(test_permissions(mm_view_base(with)), "r--p");
    assert_string_equal(test_permissions(mm_view_base(with) + DATA + 0x300000), "rw-p");
    mm_view_unmap(without);
    mm_view_unmap(with);
    mm_section_unref(section);
}

static void from_the_object(void **state)
{
    uint32_t dirtied;
    struct mm_section *section = test_section(image(0x200, DENSE, &dirtied));

    compare(section, 0, NULL, dirtied);
}

/* A place whose huge page's room begins `begin` bytes before DATA. */
static uint64_t place(uint32_t begin)
{
    const size_t size = 0x2000000;
    void *got = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(got, MAP_FAILED);
    munmap(got, size);
    return (test_address(got) | (HUGE_PAGE - 1)) + 1 + begin - DATA;
}

static void pieces_of_huge_pages(void **state)
{
    static const struct run runs[] = {
        {.pages = 0x5c0, .begin = 0x21000, .first = true, .last = true},  /* each by itself */
        {.pages = 0x5c0, .begin = 0x111000, .first = true, .last = true}, /* both in one */
        {.pages = 0x5c0, .begin = 0x1e1000, .last = true},
        {.pages = 0x540, .begin = 0x111000}, /* too little even together */
        {.pages = 0x190, .begin = 0x31000, .first = true, .last = true},
        {.pages = 0x160, .begin = 0x31000},
        {.pages = 0x190, .begin = 0x171000, .first = true, .last = true},
    };

    if (!system_has_huge_pages())
        skip();
    for (size_t i = 0; i < sizeof(runs) / sizeof(*runs); i++) {
        uint32_t dirtied;
        struct mm_section *section = test_section(image(0x200, runs[i].pages, &dirtied));

        compare(section, place(runs[i].begin), &runs[i], dirtied);
    }
}

/* With raw data on page boundaries the file itself is mapped; its zero fill is not. */
static void from_the_file(void **state)
{
    struct mm_section *section;
    uint32_t dirtied, count;
    struct pe_error err = {0};

    assert_true(pebuild_finish_file(image(0x1000, DENSE, &dirtied), tempdir_path("aligned.dll")));
    int fd = open(tempdir_path("aligned.dll"), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_status(mm_section_create_image(fd, "aligned.dll", PE_WINDOWS_10, &section, &err),
                  STATUS_SUCCESS);
    close(fd);
    assert_int_equal(mm_section_extents(section, &count)[1].source, MM_SOURCE_FILE);
    compare(section, 0, NULL, dirtied);
}

/* A sealed view is left as it is, and so are single pages: a fault is as cheap. */
static void not_worth_it(void **state)
{
    uint32_t dirtied;
    struct mm_section *section = test_section(image(0x200, DENSE, &dirtied));
    struct mm_view *view = test_map(section, 0);

    assert_int_equal(mm_view_prepare_write(view, DATA, 0x1000), 0x1000);
    assert_int_equal(private_pages(view), 0);
    test_seal(view);
    assert_int_equal(mm_view_prepare_write(view, DATA, 0x8000), 0x8000);
    assert_int_equal(private_pages(view), 0);
    assert_status(mm_view_unseal(view, NULL), STATUS_SUCCESS);
    assert_int_equal(mm_view_prepare_write(view, DATA, 0x8000), 0x8000);
    assert_int_equal(private_pages(view), 8);
    mm_view_unmap(view);
    mm_section_unref(section);
}

static int setup(void **state)
{
    return tempdir_create();
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_object),
        cmocka_unit_test(pieces_of_huge_pages),
        cmocka_unit_test(from_the_file),
        cmocka_unit_test(not_worth_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
