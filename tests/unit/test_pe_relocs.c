/*
 * Walking base-relocation blocks: what ends the table and what is malformed (facts 2.3, 2.4;
 * loader-rules, reloc.blocks).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pe/relocs.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

struct fixture {
    uint8_t *bytes;
    uint64_t size;
    struct pe_image image;
};

/* An image whose relocation directory at 0x1000 holds `words`, with a directory size of `size`. */
static void open_words(struct fixture *f, const uint16_t *words, uint32_t count, uint32_t size)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pebuild_buffer buf = pebuild_buffer(b);
    for (uint32_t i = 0; i < count; i++)
        pebuild_u16(&buf, words[i]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_BASERELOC, buf.rva, size);
    pebuild_buffer_section(&buf, ".reloc", PEBUILD_RDATA);
    f->bytes = pebuild_finish(b, &f->size);
    struct pe_span span = {f->bytes, f->size};
    assert_status(pe_open(span, PE_LAYOUT_FILE, &f->image, NULL), STATUS_SUCCESS);
}

#define BLOCK(page, size) (uint16_t)(page), (uint16_t)((page) >> 16), size, 0

static void walks_blocks(void **state)
{
    static const uint16_t words[] = {
        BLOCK(0x12000, 16),     0x3abc, 0xafff, 0x4001, 0xbeef, /* HIGHADJ takes two */
        BLOCK(0x13000, 8),                                      /* an empty block */
        BLOCK(0xfffff000u, 12), 0x3010, 0x0000,
    };
    static const struct {
        uint32_t rva, entry, block;
        uint8_t type;
        uint16_t parameter;
    } rows[] = {
        {0x12abc, 0x1008, 0x12000, 3, 0},         {0x12fff, 0x100a, 0x12000, 10, 0},
        {0x12001, 0x100c, 0x12000, 4, 0xbeef},    {0xfffff010u, 0x1020, 0xfffff000u, 3, 0},
        {0xfffff000u, 0x1022, 0xfffff000u, 0, 0},
    };
    struct fixture f;
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    open_words(&f, words, sizeof(words) / 2, sizeof(words));
    assert_true(pe_fixups(&f.image, &it));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(pe_fixup_next(&it, &fixup), 1);
        assert_int_equal(fixup.rva, rows[i].rva);
        assert_int_equal(fixup.type, rows[i].type);
        assert_int_equal(fixup.entry_rva, rows[i].entry);
        assert_int_equal(fixup.block_rva, rows[i].block);
        assert_int_equal(fixup.has_parameter, rows[i].type == 4);
        assert_int_equal(fixup.parameter, rows[i].parameter);
    }
    assert_int_equal(pe_fixup_next(&it, &fixup), 0);
    assert_int_equal(pe_fixup_next(&it, &fixup), 0);
    free(f.bytes);
}

/* Good fixups before the fault are given; the fault is told and stays. */
static void malformed_tables(void **state)
{
    static const struct {
        uint16_t words[12];
        uint32_t count, size, good;
        bool malformed;
    } rows[] = {
        {{BLOCK(0x1000, 0)}, 4, 8, 0, true}, /* must not loop */
        {{BLOCK(0, 0)}, 4, 8, 0, true},      /* a zero block is no end */
        {{BLOCK(0x1000, 7)}, 4, 8, 0, true}, /* smaller than its header */
        {{BLOCK(0x1000, 10), 0x3000}, 5, 10, 1, false},
        {{BLOCK(0x1000, 11), 0x3000}, 6, 11, 1, true},         /* odd: ends inside an entry */
        {{BLOCK(0x1000, 12), 0x3000, 0x3004}, 6, 10, 0, true}, /* beyond the directory */
        {{BLOCK(0x1000, 12), 0x3000, 0x3004}, 6, 12, 2, false},
        {{BLOCK(0x1000, 12), 0x3000, 0x3004, 0}, 7, 14, 2, true}, /* sizes do not add up */
        {{BLOCK(0x1000, 12), 0x3000, 0x4004}, 6, 12, 1, true},    /* HIGHADJ cut in two */
        {{BLOCK(0x1000, 12), 0x3000, 0x3004, BLOCK(0, 0)}, 10, 20, 2, true},
        {{BLOCK(0x1000, 12), 0x3000, 0x3004}, 6, 7, 0, true}, /* no room for a header */
        {{BLOCK(0x1000, 0xfff0)}, 4, 0xffffffff, 0, true},    /* larger than the file */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct pe_fixup_iter it;
        struct pe_fixup fixup;
        uint32_t good = 0;
        int result;
        open_words(&f, rows[i].words, rows[i].count, rows[i].size);
        assert_true(pe_fixups(&f.image, &it));
        while ((result = pe_fixup_next(&it, &fixup)) > 0)
            good++;
        if (good != rows[i].good || (result < 0) != rows[i].malformed)
            fail_msg("row %zu: %u fixups, then %d (%s)", i, good, result, it.what);
        assert_status(it.status, result < 0 ? STATUS_INVALID_IMAGE_FORMAT : STATUS_SUCCESS);
        assert_int_equal(it.what != NULL, result < 0);
        assert_int_equal(pe_fixup_next(&it, &fixup), result);
        free(f.bytes);
    }
}

static void absent_tables(void **state)
{
    static const uint16_t words[] = {BLOCK(0x1000, 8)};
    struct fixture f;
    struct pe_fixup_iter it;
    open_words(&f, words, 4, 0);
    assert_false(pe_fixups(&f.image, &it));
    f.image.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC] = (struct pe_directory){0, 8};
    assert_false(pe_fixups(&f.image, &it));
    f.image.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC] = (struct pe_directory){0x2000, 8};
    assert_false(pe_fixups(&f.image, &it));
    free(f.bytes);
}

/* In memory a block may patch the size of the next one: nothing is read ahead. */
static void bytes_are_read_again(void **state)
{
    static const uint16_t words[] = {
        BLOCK(0x1000, 12), 0x3000, 0x0000, BLOCK(0x2000, 16), 0x3004, 0, 0, 0};
    struct fixture f;
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    uint32_t count = 0;
    open_words(&f, words, sizeof(words) / 2, sizeof(words) - 4);
    uint8_t *view = calloc(1, 0x2000);
    memcpy(view, f.bytes, 0x400);
    memcpy(view + 0x1000, f.bytes + 0x400, 0x200);
    assert_int_equal(pe_open((struct pe_span){view, 0x2000}, PE_LAYOUT_MAPPED, &f.image, NULL), 0);
    assert_true(pe_fixups(&f.image, &it));
    assert_int_equal(pe_fixup_next(&it, &fixup), 1);
    assert_int_equal(pe_fixup_next(&it, &fixup), 1);
    pebuild_put32(view, 0x1010, 12); /* was 16, beyond the directory */
    while (pe_fixup_next(&it, &fixup) > 0)
        count++;
    assert_status(it.status, STATUS_SUCCESS);
    assert_int_equal(count, 2);
    free(view);
    free(f.bytes);
}

/* The builder's own table, by which other tests are made. */
static void built_table(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    struct pe_image image;
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    uint64_t size;
    static const uint32_t order[] = {0x1010, 0x1ffc, 0x3000};
    pebuild_section(b, ".data", PEBUILD_DATA, "x", 1, 0x3000);
    pebuild_pointer_fixup(b, 0x3000);
    pebuild_pointer_fixup(b, 0x1010);
    pebuild_pointer_fixup(b, 0x1ffc);
    pebuild_relocs(b);
    uint8_t *bytes = pebuild_finish(b, &size);
    assert_int_equal(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, NULL), 0);
    assert_true(pe_fixups(&image, &it));
    for (uint32_t i = 0; pe_fixup_next(&it, &fixup) > 0;)
        if (fixup.type) {
            assert_true(i < 3);
            assert_int_equal(fixup.type, 10);
            assert_int_equal(fixup.rva, order[i++]);
        }
    assert_status(it.status, STATUS_SUCCESS);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_blocks),  cmocka_unit_test(malformed_tables),
        cmocka_unit_test(absent_tables), cmocka_unit_test(bytes_are_read_again),
        cmocka_unit_test(built_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
