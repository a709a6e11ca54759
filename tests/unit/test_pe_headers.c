/*
 * Opening images: statuses of what is no image (facts 1.5), headers of both forms merged, PE
 * sections and their mapped extents, and access by RVA in both layouts (facts 1.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pe/image.h"
#include "tests/pebuild.h"
#include "tests/pewalk.h"
#include "tests/seeds.h"
#include "tests/unit/status.h"

static nt_status open_bytes(const uint8_t *bytes, uint64_t size, struct pe_image *image)
{
    return pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, image, NULL);
}

/* An MZ header with `signature` at 0x40 and the byte that NE files call exetyp. */
static void statuses_of_other_formats(void **state)
{
    static const struct {
        const char *mz, *signature;
        uint8_t exetyp;
        uint32_t lfanew, size;
        nt_status status;
    } rows[] = {
        {"MZ", "", 0, 0x40, 0, STATUS_INVALID_FILE_FOR_SECTION},
        {"MZ", "", 0, 0x40, 1, STATUS_INVALID_IMAGE_NOT_MZ},
        {"ZM", "PE", 0, 0x40, 512, STATUS_INVALID_IMAGE_NOT_MZ},
        {"\x7f"
         "E",
         "PE", 0, 0x40, 512, STATUS_INVALID_IMAGE_NOT_MZ},
        {"MZ", "PE", 0, 0x40, 2, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "PE", 0, 0x40, 0x3f, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "PE", 0, 512, 512, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "PE", 0, UINT32_MAX, 512, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "xx", 0, 0x40, 512, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "PE", 0, 0x40, 0x43, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "NE", 0, 0x40, 512, STATUS_INVALID_IMAGE_NE_FORMAT},
        {"MZ", "NE", 1, 0x40, 512, STATUS_INVALID_IMAGE_NE_FORMAT},
        {"MZ", "NE", 2, 0x40, 512, STATUS_INVALID_IMAGE_WIN_16},
        {"MZ", "NE", 5, 0x40, 512, STATUS_INVALID_IMAGE_PROTECT},
        {"MZ", "LE", 0, 0x40, 512, STATUS_INVALID_IMAGE_LE_FORMAT},
        {"MZ", "PE", 0, 0x40, 512, STATUS_INVALID_IMAGE_FORMAT}, /* magic 0 */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[512] = {0};
        struct pe_image image;
        struct pe_error err = {0};
        memcpy(bytes, rows[i].mz, 2);
        pebuild_put32(bytes, 0x3c, rows[i].lfanew);
        memcpy(bytes + 0x40, rows[i].signature, strlen(rows[i].signature));
        bytes[0x40 + 0x36] = rows[i].exetyp;
        nt_status status =
            pe_open((struct pe_span){bytes, rows[i].size}, PE_LAYOUT_FILE, &image, &err);
        if (status != rows[i].status)
            fail_msg("row %zu: %s", i, nt_status_name(status));
        assert_status(err.status, status);
        assert_true(*err.text);
    }
}

/* Each field gets a value of its own, so that no two can be mixed up. */
static void fill_headers(struct pe_headers *h)
{
    h->time_date_stamp = 0x11111111;
    h->pointer_to_symbol_table = 0x22222222;
    h->number_of_symbols = 0x33333333;
    h->major_linker_version = 14;
    h->minor_linker_version = 29;
    h->size_of_code = 0x1001;
    h->size_of_initialized_data = 0x1002;
    h->size_of_uninitialized_data = 0x1003;
    h->address_of_entry_point = 0x1004;
    h->base_of_code = 0x1005;
    h->base_of_data = h->pe32_plus ? 0 : 0x1006;
    h->major_os_version = 1;
    h->minor_os_version = 2;
    h->major_image_version = 3;
    h->minor_image_version = 4;
    h->major_subsystem_version = 5;
    h->minor_subsystem_version = 6;
    h->win32_version_value = 7;
    h->checksum = 0x44444444;
    h->subsystem = IMAGE_SUBSYSTEM_WINDOWS_GUI;
    h->dll_characteristics = IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE;
    h->size_of_stack_reserve = 0x100001;
    h->size_of_stack_commit = 0x100002;
    h->size_of_heap_reserve = 0x100003;
    h->size_of_heap_commit = 0x100004;
    h->loader_flags = 8;
    for (uint32_t i = 0; i < PE_DIRECTORY_COUNT; i++)
        h->directory[i] = (struct pe_directory){0x5000 + i, 0x100 + i};
}

static void decodes_headers(void **state)
{
    for (unsigned plus = 0; plus < 2; plus++) {
        struct pebuild *b = pebuild_new(plus ? PEBUILD_PE32_PLUS : 0);
        fill_headers(&b->h);
        pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
        struct pe_headers expected = b->h;
        expected.optional_header_offset = 0x80 + 24;
        expected.section_table_offset = 0x80 + 24 + (plus ? 240 : 224);
        uint64_t size;
        uint8_t *bytes = pebuild_finish(b, &size);
        struct pe_image image;
        assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
        assert_memory_equal(&image.h, &expected, sizeof(expected));
        assert_int_equal(pe_pointer_size(&image), plus ? 8 : 4);
        assert_false(pe_is_flat(&image));
        free(bytes);
    }
}

/* The count may say anything: at most 16 are read, those beyond the count are absent. */
static void directory_count(void **state)
{
    static const uint32_t counts[] = {0, 1, 6, 16, 17, UINT32_MAX};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        fill_headers(&b->h);
        b->h.number_of_rva_and_sizes = counts[i];
        pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0x5000);
        uint64_t size;
        uint8_t *bytes = pebuild_finish(b, &size);
        struct pe_image image;
        struct pe_directory dir;
        assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
        assert_int_equal(image.h.number_of_rva_and_sizes, counts[i]);
        for (uint32_t d = 0; d < PE_DIRECTORY_COUNT; d++) {
            bool present = d < counts[i] && d != IMAGE_DIRECTORY_ENTRY_SECURITY;
            assert_int_equal(pe_directory_get(&image, d, &dir), present);
            assert_int_equal(image.h.directory[d].rva, d < counts[i] ? 0x5000 + d : 0);
        }
        free(bytes);
    }
}

static void directory_inside_the_image(void **state)
{
    static const struct {
        uint32_t rva, size;
        bool present;
        uint32_t clamped;
    } rows[] = {
        {0, 0x10, false, 0},        {0x1000, 0, true, 0},
        {0x1ff0, 0x10, true, 0x10}, {0x1ff0, UINT32_MAX, true, 0x10},
        {0x2000, 0x10, false, 0},   {UINT32_MAX, 0x10, false, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
        pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_TLS, rows[i].rva, rows[i].size);
        uint64_t size;
        uint8_t *bytes = pebuild_finish(b, &size);
        struct pe_image image;
        struct pe_directory dir;
        assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
        assert_int_equal(pe_directory_get(&image, IMAGE_DIRECTORY_ENTRY_TLS, &dir),
                         rows[i].present);
        if (rows[i].present)
            assert_int_equal(dir.size, rows[i].clamped);
        free(bytes);
    }
}

/* VirtualSize 0 means SizeOfRawData; raw data comes by units of FileAlignment and is cut to the
 * virtual size; offsets are rounded down to 0x200. */
static void section_extents(void **state)
{
    static const struct {
        uint32_t virtual_size, raw_size, raw_pointer;
        uint32_t mapped_size, file_offset, file_size;
    } rows[] = {
        {0x800, 0x200, 0x400, 0x1000, 0x400, 0x200},
        {0, 0x200, 0x400, 0x1000, 0x400, 0x200},
        {0x1001, 0x200, 0x400, 0x2000, 0x400, 0x200},
        {0x10, 0x1800, 0x400, 0x1000, 0x400, 0x1000},
        {0x10, 0xfffff000, 0x400, 0x1000, 0x400, 0x1000},
        {0x1000, 0x200, 0x5ff, 0x1000, 0x400, 0x200},
        {0x1000, 1, 0x5ff, 0x1000, 0x400, 0x200},
        {0x1000, 0x201, 0x400, 0x1000, 0x400, 0x400},
        {0x1000, 0x200, 0, 0x1000, 0, 0},               /* raw data at 0 is none */
        {0x1000, 0, 0xdeadbeef, 0x1000, 0, 0},          /* the pointer is ignored */
        {0x1000, 0x200, 0x2300, 0x1000, 0x2200, 0x200}, /* the file ends at 0x2400 */
        {0x1000, 0x1000, 0x2200, 0x1000, 0x2200, 0x200},
        {0x1000, 0x1000, 0x2400, 0x1000, 0x2400, 0},
        {0x1000, 0x1000, 0xfffffe00, 0x1000, 0xfffffe00, 0},
    };
    static const uint8_t data[0x2000] = {1};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        pebuild_section(b, "sections", PEBUILD_DATA, data, sizeof(data), 0);
        b->sections[0].virtual_size = rows[i].virtual_size;
        b->sections[0].size_of_raw_data = rows[i].raw_size;
        b->sections[0].pointer_to_raw_data = rows[i].raw_pointer;
        uint64_t size;
        uint8_t *bytes = pebuild_finish(b, &size);
        struct pe_image image;
        struct pe_section s;
        assert_int_equal(size, 0x2400);
        assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
        assert_true(pe_section_at(&image, 0, &s));
        assert_string_equal(s.name, "sections");
        if (s.mapped_size != rows[i].mapped_size || s.file_offset != rows[i].file_offset ||
            s.file_size != rows[i].file_size)
            fail_msg("row %zu: %x %x %x", i, s.mapped_size, s.file_offset, s.file_size);
        assert_false(pe_section_at(&image, 1, &s));
        free(bytes);
    }
}

/* SizeOfHeaders, on Windows 7 at least NT headers and section table; never more than there is. */
static void headers_shown(void **state)
{
    static const struct {
        uint32_t size_of_headers, lfanew, shown, shown_by_7; /* the table ends 0x120 after lfanew */
    } rows[] = {
        {0x400, 0x80, 0x400, 0x400},
        {0x190, 0x80, 0x190, 0x1a0},
        {1, 0x80, 1, 0x1a0},
        {1, 0xf80, 1, 0x1000},
        {0x1001, 0x1080, 0x1001, 0x1001},
        {0x3000, 0x80, 0x3000, 0x3000},
        {0x5000, 0x80, 0x4321, 0x4321},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pe_image image = {.layout = PE_LAYOUT_FILE, .file_size = 0x4321};
        image.h.size_of_image = 0x6000;
        image.h.section_alignment = 0x1000;
        image.h.size_of_headers = rows[i].size_of_headers;
        image.h.e_lfanew = rows[i].lfanew;
        image.h.section_table_offset = rows[i].lfanew + 24 + 224;
        image.h.number_of_sections = 1;
        image.windows = PE_WINDOWS_10;
        assert_int_equal(pe_headers_shown(&image), rows[i].shown);
        image.windows = PE_WINDOWS_XP;
        assert_int_equal(pe_headers_shown(&image), rows[i].shown);
        image.windows = PE_WINDOWS_7;
        assert_int_equal(pe_headers_shown(&image), rows[i].shown_by_7);
        image.h.section_alignment = 0x200; /* flat: the file */
        assert_int_equal(pe_headers_shown(&image), 0x4321);
    }
}

static uint8_t *three_sections(uint64_t *size)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0x1800);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x100);
    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0);
    return pebuild_finish(b, size);
}

static void section_of_rva(void **state)
{
    static const struct {
        uint32_t rva;
        int section; /* -1: none */
    } rows[] = {
        {0, -1},     {0xfff, -1}, {0x1000, 0}, {0x2fff, 0},  {0x3000, 1},
        {0x3fff, 1}, {0x4000, 2}, {0x4fff, 2}, {0x5000, -1}, {UINT32_MAX, -1},
    };
    uint64_t size;
    uint8_t *bytes = three_sections(&size);
    struct pe_image image;
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pe_section s;
        uint32_t index = 99;
        assert_int_equal(pe_section_of_rva(&image, rows[i].rva, &s, &index), rows[i].section >= 0);
        assert_int_equal(index, rows[i].section >= 0 ? (uint32_t)rows[i].section : 99);
    }
    free(bytes);
}

/* The same answers from a table in disorder, which is scanned. */
static void unordered_table(void **state)
{
    uint64_t size;
    uint8_t *bytes = three_sections(&size), swap[40];
    struct pe_image image;
    struct pe_section s;
    uint32_t index, value = 0;
    uint8_t *table = bytes + 0x80 + 24 + 224;
    memcpy(swap, table, 40);
    memcpy(table, table + 80, 40);
    memcpy(table + 80, swap, 40);
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    assert_true(pe_section_of_rva(&image, 0x1004, &s, &index) && index == 2);
    assert_true(pe_section_of_rva(&image, 0x4004, &s, &index) && index == 0);
    assert_true(pe_rva_u32(&image, 0x1000, &value) && value == 0x74786574); /* "text" */
    assert_true(pe_rva_u32(&image, 0x4000, &value) && value == 0x61746164); /* "data" */
    free(bytes);
}

/* Copies across headers, gap, sections and zero fill equal an image laid out by hand. */
static void rva_copy_shows_the_mapped_image(void **state)
{
    uint64_t size;
    uint8_t *bytes = three_sections(&size), *expected = calloc(1, 0x5000), *got = malloc(0x5000);
    struct pe_image image;
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    assert_int_equal(pe_mapped_size(&image), 0x5000);
    memcpy(expected, bytes, 0x400);
    memcpy(expected + 0x1000, bytes + 0x400, 0x200);
    memcpy(expected + 0x4000, bytes + 0x600, 0x200);
    memset(got, 0xcc, 0x5000);
    assert_true(pe_rva_copy(&image, 0, got, 0x5000));
    assert_memory_equal(got, expected, 0x5000);
    assert_true(pe_rva_copy(&image, 0x4ffc, got, 4));
    assert_false(pe_rva_copy(&image, 0x4ffd, got, 4));
    assert_false(pe_rva_copy(&image, UINT32_MAX, got, 4));
    assert_false(pe_rva_copy(&image, 0, got, UINT32_MAX));
    /* Over the mapped form the same RVAs show the same bytes. */
    struct pe_image mapped;
    assert_int_equal(pe_open((struct pe_span){expected, 0x5000}, PE_LAYOUT_MAPPED, &mapped, NULL),
                     0);
    assert_true(pe_rva_copy(&mapped, 0, got, 0x5000));
    assert_memory_equal(got, expected, 0x5000);
    assert_false(pe_rva_copy(&mapped, 0x4ffd, got, 4));
    free(bytes);
    free(expected);
    free(got);
}

static void rva_strings_and_offsets(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    uint8_t data[0x200];
    memset(data, 'x', sizeof(data));
    memcpy(data, "abc", 4);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof(data), 0x1000);
    pebuild_section(b, ".full", PEBUILD_DATA, NULL, 0, 0x1000);
    uint64_t size, offset = 0;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image;
    struct pe_str str;
    struct pe_span span;
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    assert_true(pe_rva_str(&image, 0x1000, 16, &str) && str.len == 3);
    assert_true(pe_rva_str(&image, 0x11fe, 16, &str) && str.len == 2); /* zero fill ends it */
    assert_true(pe_rva_str(&image, 0x11fe, 2, &str) && str.len == 2);
    assert_false(pe_rva_str(&image, 0x11fe, 1, &str));
    assert_false(pe_rva_str(&image, 0x1004, 16, &str)); /* too long */
    assert_true(pe_rva_str(&image, 0x1800, 16, &str) && str.len == 0 && str.ptr);
    assert_false(pe_rva_str(&image, 0x3000, 16, &str));
    assert_true(pe_rva_str(&image, 0, 16, &str) && str.len == 2); /* "MZ" of the headers */
    assert_true(pe_rva_to_offset(&image, 0x1004, &offset) && offset == 0x404);
    assert_true(pe_rva_to_offset(&image, 0x3c, &offset) && offset == 0x3c);
    assert_false(pe_rva_to_offset(&image, 0x1200, &offset)); /* zero fill */
    assert_false(pe_rva_to_offset(&image, 0x400, &offset));  /* behind SizeOfHeaders */
    assert_false(pe_rva_to_offset(&image, 0x3000, &offset)); /* outside */
    assert_true(pe_rva_span(&image, 0x11f0, 0x100, &span) && span.size == 0x10);
    assert_true(pe_rva_span(&image, 0x1000, 4, &span) && span.size == 4);
    assert_false(pe_rva_span(&image, 0x1200, 4, &span));
    free(bytes);
}

/* Flat images: RVA = file offset, zeroes behind the file (facts 1.2). */
static void flat_image(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_EXE);
    b->h.section_alignment = b->h.file_alignment = 4;
    b->h.size_of_headers = 0x180;
    b->h.size_of_image = 0x3000;
    uint64_t size, offset = 0;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image;
    uint32_t value = 1;
    assert_int_equal(size, 0x180);
    pebuild_put32(bytes, 0x17c, 0x12345678);
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    assert_true(pe_is_flat(&image));
    assert_true(pe_rva_u32(&image, 0x17c, &value) && value == 0x12345678);
    assert_true(pe_rva_u32(&image, 0x17e, &value) && value == 0x1234);
    assert_true(pe_rva_u32(&image, 0x2ffc, &value) && value == 0);
    assert_false(pe_rva_u32(&image, 0x2ffd, &value));
    assert_true(pe_rva_to_offset(&image, 0x17f, &offset) && offset == 0x17f);
    free(bytes);
}

/* The mapped header may lack the section table: it then comes from the file's headers. */
static void section_table_of_the_file(void **state)
{
    uint64_t size;
    uint8_t *bytes = three_sections(&size), *view = calloc(1, 0x5000);
    struct pe_image image;
    struct pe_section s;
    memcpy(view, bytes, 0x80 + 24 + 224);
    assert_int_equal(pe_open((struct pe_span){view, 0x5000}, PE_LAYOUT_MAPPED, &image, NULL), 0);
    assert_true(pe_section_at(&image, 0, &s) && s.virtual_address == 0);
    image.file_headers = (struct pe_span){bytes, 0x400};
    assert_true(pe_section_at(&image, 2, &s));
    assert_string_equal(s.name, ".data");
    assert_int_equal(s.virtual_address, 0x4000);
    free(bytes);
    free(view);
}

static void table_outside_the_file(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
    uint64_t size;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image;
    struct pe_section s;
    uint32_t table = 0x80 + 24 + 224;
    assert_status(open_bytes(bytes, table, &image), STATUS_SUCCESS); /* a rule is broken */
    assert_false(pe_section_at(&image, 0, &s));
    assert_status(open_bytes(bytes, table + 39, &image), STATUS_SUCCESS);
    assert_false(pe_section_at(&image, 0, &s)); /* cut short */
    assert_status(open_bytes(bytes, table + 40, &image), STATUS_SUCCESS);
    assert_true(pe_section_at(&image, 0, &s));
    free(bytes);
}

static void checksum_and_overlay(void **state)
{
    uint64_t size;
    uint8_t *bytes = three_sections(&size);
    uint8_t *longer = calloc(1, (size_t)size + 3);
    struct pe_image image;
    uint32_t sum = 0;
    /* By the documented algorithm, written another way: sum first, fold at the end. */
    uint64_t plain = 0;
    for (uint64_t i = 0; i < size; i += 2)
        plain += (uint32_t)(bytes[i] | bytes[i + 1] << 8);
    while (plain >> 16)
        plain = (plain & 0xffff) + (plain >> 16);
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    sum = pe_checksum(&image);
    assert_int_equal(sum, plain + size);
    pebuild_put32(bytes, 0x80 + 24 + 64, sum); /* the field itself does not count */
    assert_int_equal(pe_checksum(&image), sum);
    assert_int_equal(pe_overlay_offset(&image), size);
    memcpy(longer, bytes, (size_t)size);
    longer[size + 2] = 1; /* an odd length: the last byte is a word's low half */
    assert_status(open_bytes(longer, size + 3, &image), STATUS_SUCCESS);
    assert_int_equal(pe_overlay_offset(&image), size);
    assert_int_equal(pe_checksum(&image), sum + 1 + 3);
    free(bytes);
    free(longer);
}

/* At an odd e_lfanew the CheckSum field shares words with its neighbours, which still count. */
static void checksum_at_odd_offsets(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pe_image image;
    uint64_t size;
    b->h.e_lfanew = 0x81;
    b->h.size_of_image = 0;
    b->h.subsystem = 0xffff;
    uint8_t *bytes = pebuild_finish(b, &size);
    pebuild_put32(bytes, 0x81 + 24 + 60, 0xff000000); /* the fields on both sides */
    assert_status(open_bytes(bytes, size, &image), STATUS_SUCCESS);
    uint32_t sum = pe_checksum(&image);
    pebuild_put32(bytes, 0x81 + 24 + 64, 0x12345678);
    assert_int_equal(pe_checksum(&image), sum);
    bytes[0x81 + 24 + 63] = 0; /* the high byte of SizeOfHeaders, an even offset's low half */
    assert_int_equal(pe_checksum(&image), sum - 0xff);
    free(bytes);
}

static void machine_names(void **state)
{
    assert_string_equal(pe_machine_name(0x14c), "i386");
    assert_string_equal(pe_machine_name(0x8664), "amd64");
    assert_string_equal(pe_machine_name(0xaa64), "arm64");
    assert_string_equal(pe_machine_name(0x1234), "unknown");
    assert_true(pe_machine_has_pointer_size(0x8664, 8) && !pe_machine_has_pointer_size(0x8664, 4));
    assert_true(pe_machine_has_pointer_size(0x14c, 4) && !pe_machine_has_pointer_size(0x1234, 4));
}

/* Every prefix of every seed, in a block of its exact size, in both layouts. */
static void every_prefix(void **state)
{
    for (uint32_t i = 0; i < seed_count; i++) {
        uint64_t size;
        uint8_t *bytes = seeds[i].make(&size);
        uint64_t whole = pewalk((struct pe_span){bytes, size}, PE_LAYOUT_FILE);
        assert_int_not_equal(whole, 0);
        for (uint64_t cut = 0; cut < size; cut++) {
            uint8_t *copy = malloc(cut ? (size_t)cut : 1);
            memcpy(copy, bytes, (size_t)cut);
            uint64_t digest = pewalk((struct pe_span){copy, cut}, PE_LAYOUT_FILE);
            assert_int_not_equal(digest, whole);
            if (cut < 0x80 + 4 + 22)
                assert_int_equal(digest, 0);
            pewalk((struct pe_span){copy, cut}, PE_LAYOUT_MAPPED);
            free(copy);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_of_other_formats),
        cmocka_unit_test(decodes_headers),
        cmocka_unit_test(directory_count),
        cmocka_unit_test(directory_inside_the_image),
        cmocka_unit_test(section_extents),
        cmocka_unit_test(headers_shown),
        cmocka_unit_test(section_of_rva),
        cmocka_unit_test(unordered_table),
        cmocka_unit_test(rva_copy_shows_the_mapped_image),
        cmocka_unit_test(rva_strings_and_offsets),
        cmocka_unit_test(flat_image),
        cmocka_unit_test(section_table_of_the_file),
        cmocka_unit_test(table_outside_the_file),
        cmocka_unit_test(checksum_and_overlay),
        cmocka_unit_test(checksum_at_odd_offsets),
        cmocka_unit_test(machine_names),
        cmocka_unit_test(every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
