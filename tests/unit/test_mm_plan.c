/*
 * The extents of an image, from headers alone (facts 1.2): nothing is mapped here.
 */
#include "loader/mm/section_plan.h"
#include "tests/unit/mm_test.h"

struct planned {
    uint8_t *bytes;
    struct pe_image image;
    struct mm_plan plan;
};

static struct planned plan_of(struct pebuild *b, bool map_file)
{
    struct pe_error err = {0};
    struct planned p = {0};
    uint64_t size;

    p.bytes = pebuild_finish(b, &size);
    assert_status(pe_open((struct pe_span){p.bytes, size}, PE_LAYOUT_FILE, &p.image, &err),
                  STATUS_SUCCESS);
    if (!nt_ok(mm_plan_make(&p.image, map_file, &p.plan, &err)))
        fail_msg("%s", err.text);
    return p;
}

static void drop(struct planned *p)
{
    mm_plan_free(&p->plan);
    free(p->bytes);
}

static void assert_extent(const struct planned *p, uint32_t i, uint32_t rva, uint32_t size,
                          enum mm_source source, uint64_t offset, uint32_t protect)
{
    const struct mm_extent *extent = &p->plan.pieces[i].extent;

    assert_true(i < p->plan.count);
    assert_int_equal(extent->rva, rva);
    assert_int_equal(extent->size, size);
    assert_int_equal(extent->source, source);
    assert_int_equal(extent->offset, offset);
    assert_int_equal(extent->protect, protect);
}

static void ordinary(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct planned p;

    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "y", 1, 0x2800);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x1000);
    p = plan_of(b, true);
    assert_int_equal(p.plan.count, 4);
    assert_int_equal(p.plan.image_size, 0x6000);
    assert_extent(&p, 0, 0, 0x1000, MM_SOURCE_OBJECT, 0, PAGE_READONLY);
    assert_int_equal(p.plan.pieces[0].extent.pe_section, -1);
    assert_int_equal(p.plan.pieces[0].data_size, 0x400);
    assert_extent(&p, 1, 0x1000, 0x1000, MM_SOURCE_OBJECT, 0x1000, PAGE_EXECUTE_READ);
    assert_int_equal(p.plan.pieces[1].data_offset, 0x400);
    assert_int_equal(p.plan.pieces[1].data_size, 0x200);
    assert_extent(&p, 2, 0x2000, 0x3000, MM_SOURCE_OBJECT, 0x2000, PAGE_WRITECOPY);
    assert_extent(&p, 3, 0x5000, 0x1000, MM_SOURCE_OBJECT, 0x5000, PAGE_WRITECOPY);
    assert_int_equal(p.plan.pieces[3].data_size, 0);
    assert_false(p.plan.uses_file);
    drop(&p);
}

/* Raw data beyond the virtual size stays out; the raw pointer is rounded down to 0x200. */
static void raw_sizes(void **state)
{
    uint8_t data[0x3000] = {1};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct planned p;

    pebuild_section(b, ".a", PEBUILD_RDATA, data, sizeof(data), 0x800);
    pebuild_section(b, ".b", PEBUILD_RDATA, data, 0x600, 0);
    b->sections[1].pointer_to_raw_data += 0x1FF;
    b->sections[1].size_of_raw_data -= 0x1FF; /* so that the rule about the file's end holds */
    p = plan_of(b, true);
    assert_int_equal(p.plan.pieces[1].data_size, 0x1000);
    assert_int_equal(p.plan.pieces[2].data_offset % 0x200, 0);
    drop(&p);
}

static struct pebuild *page_aligned(uint32_t raw, uint32_t virtual_size)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    uint8_t *data = calloc(1, raw);

    b->h.file_alignment = 0x1000;
    b->h.size_of_headers = 0x1000;
    memset(data, 0xCC, raw);
    pebuild_section(b, ".text", PEBUILD_TEXT, data, raw, virtual_size);
    free(data);
    return b;
}

static void mapped_from_file(void **state)
{
    struct planned p = plan_of(page_aligned(0x2000, 0), true);

    assert_extent(&p, 1, 0x1000, 0x2000, MM_SOURCE_FILE, 0x1000, PAGE_EXECUTE_READ);
    assert_int_equal(p.plan.count, 2);
    assert_int_equal(p.plan.pieces[1].data_size, 0);
    assert_true(p.plan.uses_file);
    drop(&p);
    p = plan_of(page_aligned(0x2000, 0), false);
    assert_extent(&p, 1, 0x1000, 0x2000, MM_SOURCE_OBJECT, 0x1000, PAGE_EXECUTE_READ);
    assert_int_equal(p.plan.pieces[1].data_size, 0x2000);
    drop(&p);
}

/* The file ends inside the last page: the kernel shows zeroes there, and the page can be the
 * file's. */
static void file_ends_in_page(void **state)
{
    struct pebuild *b = page_aligned(0x1800, 0x4000);
    struct planned p;

    b->h.file_alignment = 0x200;
    b->sections[0].size_of_raw_data = b->sections[0].data_size = 0x1800;
    p = plan_of(b, true);
    assert_int_equal(p.image.bytes.size, 0x2800);
    assert_extent(&p, 1, 0x1000, 0x2000, MM_SOURCE_FILE, 0x1000, PAGE_EXECUTE_READ);
    assert_extent(&p, 2, 0x3000, 0x2000, MM_SOURCE_OBJECT, 0x3000, PAGE_EXECUTE_READ);
    assert_int_equal(p.plan.pieces[2].data_size, 0);
    assert_int_equal(p.plan.pieces[2].extent.pe_section, 0);
    drop(&p);
}

/* Raw data ends in a page that goes on with other bytes: that page needs a zeroed tail. */
static void dirty_tail_in_file(void **state)
{
    struct pebuild *b = page_aligned(0x2000, 0x2000);
    struct planned p;

    b->sections[0].size_of_raw_data = 0x1800;
    b->h.file_alignment = 0x200;
    p = plan_of(b, true);
    assert_extent(&p, 1, 0x1000, 0x1000, MM_SOURCE_FILE, 0x1000, PAGE_EXECUTE_READ);
    assert_extent(&p, 2, 0x2000, 0x1000, MM_SOURCE_OBJECT, 0x2000, PAGE_EXECUTE_READ);
    assert_int_equal(p.plan.pieces[2].data_offset, 0x2000);
    assert_int_equal(p.plan.pieces[2].data_size, 0x800);
    drop(&p);
}

/* With a FileAlignment of a page that page comes as a whole, whatever the raw size says. */
static void whole_pages_of_file(void **state)
{
    struct pebuild *b = page_aligned(0x2000, 0x2000);
    struct planned p;

    b->sections[0].size_of_raw_data = 0x1800;
    p = plan_of(b, true);
    assert_extent(&p, 1, 0x1000, 0x2000, MM_SOURCE_FILE, 0x1000, PAGE_EXECUTE_READ);
    drop(&p);
}

static void flat(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct planned p;
    uint64_t file;

    b->h.section_alignment = b->h.file_alignment = 0x200;
    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0x200);
    pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0x200);
    p = plan_of(b, true);
    file = p.image.bytes.size;
    assert_int_equal(p.plan.count, 1);
    assert_extent(&p, 0, 0, 0x1000, MM_SOURCE_OBJECT, 0, PAGE_EXECUTE_WRITECOPY);
    assert_int_equal(p.plan.pieces[0].data_size, file);
    drop(&p);
}

/* Two SHARED, writable PE sections share one backing; a read-only SHARED one is like any other. */
static void shared(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct planned p;

    pebuild_section(b, "s1", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, "a", 1, 0x1001);
    pebuild_section(b, "s2", PEBUILD_RDATA | IMAGE_SCN_MEM_SHARED, "b", 1, 0);
    pebuild_section(b, "s3", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED, "c", 1, 0);
    p = plan_of(b, true);
    assert_extent(&p, 1, 0x1000, 0x2000, MM_SOURCE_SHARED, 0, PAGE_READWRITE);
    assert_extent(&p, 2, 0x3000, 0x1000, MM_SOURCE_OBJECT, 0x3000, PAGE_READONLY);
    assert_extent(&p, 3, 0x4000, 0x1000, MM_SOURCE_SHARED, 0x2000, PAGE_READWRITE);
    assert_int_equal(p.plan.shared_size, 0x3000);
    drop(&p);
}

/* SectionAlignment above a page leaves gaps between the extents. */
static void gaps(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct planned p;

    b->h.section_alignment = 0x4000;
    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0);
    p = plan_of(b, true);
    assert_extent(&p, 0, 0, 0x1000, MM_SOURCE_OBJECT, 0, PAGE_READONLY);
    assert_extent(&p, 1, 0x4000, 0x1000, MM_SOURCE_OBJECT, 0x4000, PAGE_EXECUTE_READ);
    assert_extent(&p, 2, 0x8000, 0x1000, MM_SOURCE_OBJECT, 0x8000, PAGE_WRITECOPY);
    assert_int_equal(p.plan.image_size, 0xC000);
    drop(&p);
}

/* What no rule of the format may let through, as these numbers decide where memory is mapped. */
static void impossible(void **state)
{
    for (int kind = 0; kind < 6; kind++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        struct pe_error err = {0};
        struct pe_image image;
        struct mm_plan plan;
        uint64_t size;
        uint8_t *bytes;

        pebuild_section(b, ".a", PEBUILD_RDATA, "x", 1, 0);
        pebuild_section(b, ".b", PEBUILD_RDATA, "x", 1, 0);
        switch (kind) {
        case 0: /* overlaps the one before */
            b->sections[0].virtual_size = 0x1001;
            break;
        case 1: /* descends */
            b->sections[0].virtual_address = 0x3000;
            break;
        case 2: /* leaves the image */
            b->sections[1].virtual_size = 0x1001;
            break;
        case 3: /* wraps */
            b->sections[1].virtual_size = 0xFFFFFFFFu;
            break;
        case 4: /* inside a page */
            b->sections[1].virtual_address += 0x200;
            break;
        default: /* no image at all */
            b->h.size_of_image = 0;
        }
        bytes = pebuild_finish(b, &size);
        assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, &err),
                      STATUS_SUCCESS);
        assert_status(mm_plan_make(&image, true, &plan, &err), STATUS_INVALID_IMAGE_FORMAT);
        assert_status(err.status, STATUS_INVALID_IMAGE_FORMAT);
        free(bytes);
    }
}

/* A megabyte that hundreds of PE sections show is not copied for each of them. */
static void shared_raw_data(void **state)
{
    enum { SIZE = 1 << 20 };
    static const uint32_t counts[] = {100, 255};
    uint8_t *data = calloc(1, SIZE);

    assert_non_null(data);
    for (int n = 0; n < 2; n++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        struct pe_error err = {0};
        struct pe_image image;
        struct mm_plan plan = {0};
        uint64_t size;

        b->h.size_of_headers = 0x3000; /* room for the table */
        b->next_rva = b->next_offset = 0x3000;
        pebuild_section(b, ".a", PEBUILD_RDATA, data, SIZE, 0);
        for (uint32_t i = 1; i <= counts[n]; i++) {
            uint32_t index = pebuild_section(b, ".b", PEBUILD_RDATA, NULL, 0, 2 * SIZE);

            b->sections[index].size_of_raw_data = SIZE;
            b->sections[index].pointer_to_raw_data = 0x3000;
        }
        uint8_t *bytes = pebuild_finish(b, &size);
        assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, NULL),
                      STATUS_SUCCESS);
        assert_status(mm_plan_make(&image, false, &plan, &err),
                      n ? STATUS_COMMITMENT_LIMIT : STATUS_SUCCESS);
        mm_plan_free(&plan);
        free(bytes);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary),
        cmocka_unit_test(raw_sizes),
        cmocka_unit_test(mapped_from_file),
        cmocka_unit_test(file_ends_in_page),
        cmocka_unit_test(dirty_tail_in_file),
        cmocka_unit_test(whole_pages_of_file),
        cmocka_unit_test(flat),
        cmocka_unit_test(shared),
        cmocka_unit_test(gaps),
        cmocka_unit_test(impossible),
        cmocka_unit_test(shared_raw_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
