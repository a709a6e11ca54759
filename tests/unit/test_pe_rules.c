/*
 * The rules by which Windows 10 maps an image (loader-rules, stage 1): a table of spoiled images
 * with the rule that each breaks first, and images at the edge that are accepted (behaviours).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pe/rules.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

/* Header, .text (0x1000), .bss (0x2000), .data (0x3000), SizeOfImage 0x4000. */
static struct pebuild *page_aligned(unsigned flags)
{
    struct pebuild *b = pebuild_new(flags);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x100);
    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0);
    return b;
}

static struct pebuild *flat(unsigned flags)
{
    struct pebuild *b = pebuild_new(flags);
    b->h.section_alignment = b->h.file_alignment = 0x20;
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_section(b, ".data", PEBUILD_DATA, "data", 4, 0);
    return b;
}

static nt_status check(struct pebuild *b, struct pe_error *err)
{
    uint64_t size;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image;
    nt_status status = pe_admit((struct pe_span){bytes, size}, PE_WINDOWS_10, &image, err);
    free(bytes);
    return status;
}

#define SPOIL(name, ...)                \
    static void name(struct pebuild *b) \
    {                                   \
        __VA_ARGS__;                    \
    }
SPOIL(nothing, (void)b)
SPOIL(not_executable, b->h.characteristics &= (uint16_t)~IMAGE_FILE_EXECUTABLE_IMAGE)
SPOIL(no_machine, b->h.machine = 0)
SPOIL(other_machine, b->h.machine = IMAGE_FILE_MACHINE_ARM64)
SPOIL(other_word_size,
      b->h.machine = b->h.pe32_plus ? IMAGE_FILE_MACHINE_I386 : IMAGE_FILE_MACHINE_AMD64)
SPOIL(file_alignment_0, b->h.file_alignment = 0)
SPOIL(file_alignment_300, b->h.file_alignment = 0x300)
SPOIL(file_alignment_100, b->h.file_alignment = 0x100)
SPOIL(file_alignment_page, b->h.file_alignment = 0x1000)
SPOIL(file_alignment_large, b->h.file_alignment = 0x2000)
SPOIL(section_alignment_odd, b->h.section_alignment = 0x3000)
SPOIL(size_of_image_0, b->h.size_of_image = 0)
SPOIL(size_of_image_large, b->h.size_of_image = 0x77000001)
SPOIL(size_of_image_wraps, b->h.size_of_image = 0xfffff001)
SPOIL(size_of_image_short, b->h.size_of_image = 0x3000)
SPOIL(size_of_image_long, b->h.size_of_image = 0x5000)
SPOIL(size_of_image_unrounded, b->h.size_of_image = 0x3001)
SPOIL(headers_0, b->h.size_of_headers = 0)
SPOIL(headers_1, b->h.size_of_headers = 1)
SPOIL(headers_whole, b->h.size_of_headers = b->h.size_of_image)
SPOIL(headers_two_pages, b->h.size_of_headers = 0x1001)
SPOIL(headers_beyond, b->h.size_of_headers = 0x3fff)
SPOIL(base_odd, b->h.image_base += 0x8000)
SPOIL(base_kernel, b->h.image_base = 0x80000000u)
SPOIL(no_sections, b->h.number_of_sections = 0)
SPOIL(many_sections, b->h.number_of_sections = 2000)
SPOIL(a_gap, b->sections[1].virtual_address += 0x1000)
SPOIL(an_overlap, b->sections[1].virtual_size = 0x1001)
SPOIL(a_late_start, b->sections[0].virtual_address = 0x800)
SPOIL(an_empty_section, b->sections[2].virtual_size = b->sections[2].size_of_raw_data = 0)
SPOIL(raw_size_only, b->sections[2].virtual_size = 0)
SPOIL(huge_section, b->sections[2].virtual_size = 0xfffffff0)
SPOIL(raw_wraps, b->sections[0].pointer_to_raw_data = 0xfffffe00)
SPOIL(raw_pointer_garbage, b->sections[1].pointer_to_raw_data = 0xffffffff)
SPOIL(first_raw_outside, b->sections[0].pointer_to_raw_data = 0x100000)
SPOIL(last_raw_outside, b->sections[2].pointer_to_raw_data += 1)
SPOIL(last_raw_unpadded, b->sections[2].data_size = b->sections[2].size_of_raw_data = 1)
SPOIL(raw_beyond_virtual, b->sections[0].size_of_raw_data = 0xffff0000)
SPOIL(flat_moved, b->sections[1].virtual_address += 0x20)
SPOIL(flat_larger, b->sections[1].virtual_size = 0x21)
SPOIL(flat_no_sections, b->h.number_of_sections = 0)
SPOIL(flat_raw_zero, b->sections[1].size_of_raw_data = b->sections[1].virtual_size = 0)
SPOIL(lfanew_odd, b->h.e_lfanew = 0x82)
SPOIL(directory_garbage, memset(b->h.directory, 0xff, sizeof(b->h.directory)))
SPOIL(optional_size_large, b->h.size_of_optional_header = 0xff00)

enum { PA = 0, LA = 4, PLUS = PEBUILD_PE32_PLUS, BOTH = 8 };

static const struct {
    void (*spoil)(struct pebuild *b);
    unsigned kind;
    const char *rule; /* NULL: accepted */
    nt_status status;
} rows[] = {
    {nothing, PA | BOTH, NULL, 0},
    {nothing, LA | BOTH, NULL, 0},
    {lfanew_odd, PA | BOTH, "dos.lfanew.aligned", STATUS_INVALID_IMAGE_PROTECT},
    {not_executable, PA | BOTH, "nt.executable", STATUS_INVALID_IMAGE_FORMAT},
    {no_machine, PA | BOTH, "opt.magic", STATUS_INVALID_IMAGE_FORMAT},
    {other_word_size, PA | BOTH, "opt.magic", STATUS_INVALID_IMAGE_FORMAT},
    {other_machine, PA, "opt.magic", STATUS_INVALID_IMAGE_FORMAT},
    {other_machine, PA | PLUS, NULL, 0},
    {other_machine, LA | PLUS, "la.machine", STATUS_INVALID_IMAGE_FORMAT},
    {file_alignment_0, PA | BOTH, "opt.file_alignment", STATUS_INVALID_IMAGE_FORMAT},
    {file_alignment_300, PA | BOTH, "opt.file_alignment", STATUS_INVALID_IMAGE_FORMAT},
    {file_alignment_100, PA | BOTH, "opt.file_alignment", STATUS_INVALID_IMAGE_FORMAT},
    {file_alignment_page, PA | BOTH, NULL, 0},
    {file_alignment_large, PA | BOTH, "opt.section_alignment", STATUS_INVALID_IMAGE_FORMAT},
    {section_alignment_odd, PA | BOTH, "opt.section_alignment", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_0, PA | BOTH, "opt.size_of_image", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_large, PA, "opt.size_of_image", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_large, PA | PLUS, "sections.fit", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_wraps, PA | PLUS, "opt.size_of_image", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_short, PA | BOTH, "sections.fit", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_long, PA | BOTH, "sections.fit", STATUS_INVALID_IMAGE_FORMAT},
    {size_of_image_unrounded, PA | BOTH, NULL, 0},
    {headers_0, PA | BOTH, "opt.size_of_headers", STATUS_INVALID_IMAGE_FORMAT},
    {headers_0, LA | BOTH, NULL, 0},
    {headers_1, PA | BOTH, NULL, 0},
    {headers_whole, PA | BOTH, "opt.size_of_headers", STATUS_INVALID_IMAGE_FORMAT},
    {headers_two_pages, PA | BOTH, "sections.contiguous", STATUS_INVALID_IMAGE_FORMAT},
    {headers_beyond, PA | BOTH, "sections.contiguous", STATUS_INVALID_IMAGE_FORMAT},
    {base_odd, PA | BOTH, "opt.image_base", STATUS_INVALID_IMAGE_FORMAT},
    {base_kernel, PA, NULL, 0},
    {many_sections, PA | BOTH, "opt.headers_total", STATUS_INVALID_IMAGE_FORMAT},
    {no_sections, PA | BOTH, "sections.some", STATUS_INVALID_IMAGE_FORMAT},
    {optional_size_large, PA | BOTH, "opt.headers_total", STATUS_INVALID_IMAGE_FORMAT},
    {a_gap, PA | BOTH, "sections.contiguous", STATUS_INVALID_IMAGE_FORMAT},
    {an_overlap, PA | BOTH, "sections.contiguous", STATUS_INVALID_IMAGE_FORMAT},
    {a_late_start, PA | BOTH, "sections.contiguous", STATUS_INVALID_IMAGE_FORMAT},
    {an_empty_section, PA | BOTH, "sections.not_empty", STATUS_INVALID_IMAGE_FORMAT},
    {raw_size_only, PA | BOTH, NULL, 0},
    {huge_section, PA | BOTH, "sections.fit", STATUS_INVALID_IMAGE_FORMAT},
    {raw_wraps, PA | BOTH, "sections.no_wrap", STATUS_INVALID_IMAGE_FORMAT},
    {raw_pointer_garbage, PA | BOTH, NULL, 0},
    {first_raw_outside, PA | BOTH, NULL, 0}, /* asked for by Windows 7 only */
    {last_raw_outside, PA | BOTH, "sections.last_raw", STATUS_INVALID_IMAGE_FORMAT},
    {last_raw_unpadded, PA | BOTH, NULL, 0},
    {raw_beyond_virtual, PA | BOTH, NULL, 0},
    {flat_moved, LA | BOTH, "la.flat", STATUS_INVALID_IMAGE_FORMAT},
    {flat_larger, LA | BOTH, "la.flat", STATUS_INVALID_IMAGE_FORMAT},
    {flat_raw_zero, LA | BOTH, "la.flat", STATUS_INVALID_IMAGE_FORMAT},
    {flat_no_sections, LA | BOTH, NULL, 0},
    {directory_garbage, PA | BOTH, NULL, 0},
};

static void check_row(size_t row, unsigned flags)
{
    struct pe_error err = {0};
    struct pebuild *b = rows[row].kind & LA ? flat(flags) : page_aligned(flags);
    rows[row].spoil(b);
    nt_status status = check(b, &err);
    const char *rule = rows[row].rule;
    if (status != rows[row].status || !err.rule != !rule || (rule && strcmp(rule, err.rule) != 0))
        fail_msg("row %zu (flags %u): %s, %s", row, flags, nt_status_name(status), err.text);
}

static void spoiled_images(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].kind & BOTH || !(rows[i].kind & PLUS))
            check_row(i, PEBUILD_DLL);
        if (rows[i].kind & (BOTH | PLUS))
            check_row(i, PEBUILD_DLL | PEBUILD_PE32_PLUS);
    }
}

/* Bytes that the builder cannot spoil: each edit of a built file with the rule that it breaks. */
static void spoiled_bytes(void **state)
{
    static const struct {
        uint32_t offset;
        uint8_t value;
        nt_status status;
        const char *rule;
    } edits[] = {
        {0, 'X', STATUS_INVALID_IMAGE_NOT_MZ, "dos.magic"},
        {0x80, 'X', STATUS_INVALID_IMAGE_PROTECT, "nt.signature"},
        {0x3f, 0x7f, STATUS_INVALID_IMAGE_PROTECT, "dos.lfanew.range"},
    };
    uint64_t size;
    uint8_t *bytes = pebuild_finish(page_aligned(PEBUILD_DLL), &size);
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        struct pe_image image;
        struct pe_error err = {0}, opened = {0};
        uint8_t was = bytes[edits[i].offset];
        bytes[edits[i].offset] = edits[i].value;
        assert_status(pe_admit((struct pe_span){bytes, size}, PE_WINDOWS_10, &image, &err),
                      edits[i].status);
        assert_string_equal(err.rule, edits[i].rule);
        assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, &opened),
                      edits[i].status);
        assert_string_equal(opened.text, err.text);
        bytes[edits[i].offset] = was;
    }
    free(bytes);
}

static void check_minimal(uint32_t size, nt_status status, const char *rule)
{
    uint8_t *bytes = calloc(1, size);
    struct pe_image image;
    struct pe_error err = {0};
    memcpy(bytes, "MZ\0\0PE\0\0", 8);
    pebuild_put16(bytes, 8, IMAGE_FILE_MACHINE_I386);
    pebuild_put16(bytes, 4 + 22, IMAGE_FILE_EXECUTABLE_IMAGE);
    pebuild_put16(bytes, 4 + 24, 0x10b);
    pebuild_put32(bytes, 4 + 24 + 28, 0x400000);
    pebuild_put32(bytes, 0x3c, 4); /* SectionAlignment as well: the headers overlap */
    pebuild_put32(bytes, 4 + 24 + 36, 4);
    pebuild_put32(bytes, 4 + 24 + 56, 0x1000);
    pebuild_put32(bytes, 4 + 24 + 60, 0x2c);
    assert_status(pe_admit((struct pe_span){bytes, size}, PE_WINDOWS_10, &image, &err), status);
    if (rule)
        assert_string_equal(err.rule, rule);
    free(bytes);
}

/* A flat image that is all header: 252 bytes hold what Windows reads of it (behaviours, Headers).
 */
static void minimal_images(void **state)
{
    check_minimal(268, STATUS_SUCCESS, NULL);
    check_minimal(252, STATUS_SUCCESS, NULL);
    check_minimal(251, STATUS_INVALID_IMAGE_PROTECT, "dos.lfanew.range");
    check_minimal(97, STATUS_INVALID_IMAGE_PROTECT, "dos.lfanew.range");
}

/* NT headers in the file's last, partial page are refused, in a whole page they are not. */
static void headers_at_the_end(void **state)
{
    for (unsigned whole = 0; whole < 2; whole++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        struct pe_error err = {0};
        b->h.e_lfanew = 0x2000;
        b->h.size_of_headers = 0x2400;
        uint8_t data[0x1c00] = {1};
        pebuild_section(b, ".text", PEBUILD_TEXT, data, whole ? sizeof(data) : 4, 0);
        nt_status status = check(b, &err);
        assert_status(status, whole ? STATUS_SUCCESS : STATUS_INVALID_IMAGE_PROTECT);
        if (!whole)
            assert_string_equal(err.rule, "dos.lfanew.last_page");
    }
}

/* 96 PE sections load (behaviours); the Windows 10 bound is the table's second page. */
static void section_counts(void **state)
{
    static const struct {
        uint32_t count;
        const char *rule;
    } counts[] = {{96, NULL}, {192, NULL}, {195, NULL}, {196, "sections.table.page"}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct pebuild *b = pebuild_new(PEBUILD_DLL);
        struct pe_error err = {0};
        b->h.size_of_headers = 0x3000;
        for (uint32_t s = 0; s < counts[i].count; s++)
            pebuild_section(b, ".s", PEBUILD_DATA, "x", 1, 0);
        check(b, &err);
        if (!counts[i].rule != !err.rule)
            fail_msg("%u sections: %s", counts[i].count, err.text);
        if (err.rule)
            assert_string_equal(err.rule, counts[i].rule);
    }
}

/* A section alignment of 512 MiB is accepted (behaviours, Headers). */
static void large_alignment(void **state)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pe_error err = {0};
    b->h.section_alignment = 0x20000000;
    b->h.file_alignment = 0x10000;
    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
    b->h.size_of_image = 0x40000000;
    assert_status(check(b, &err), STATUS_SUCCESS);
}

/* Every broken rule is told, in the table's order, with its field. */
static bool note(void *user, const struct pe_rule *rule, const struct pe_finding *found)
{
    char *text = user;
    size_t used = strlen(text);
    snprintf(text + used, 400 - used, "%s|%s|%llx|%llx\n", rule->id, found->field,
             (unsigned long long)found->offset, (unsigned long long)found->value);
    return true;
}

static void every_broken_rule(void **state)
{
    char text[400] = "";
    uint64_t size;
    struct pebuild *b = page_aligned(PEBUILD_DLL);
    b->h.characteristics &= (uint16_t)~IMAGE_FILE_EXECUTABLE_IMAGE;
    b->h.image_base = 0x10000001;
    b->sections[1].virtual_address = 0x5000;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image = pe_read((struct pe_span){bytes, size}, PE_LAYOUT_FILE);
    assert_int_equal(
        pe_rules_each(&image, (struct pe_rule_query){PE_STAGE_SECTION, PE_ROLE_DLL}, note, text),
        3);
    assert_string_equal(text, "nt.executable|Characteristics|96|2000\n"
                              "opt.image_base|ImageBase|b4|10000001\n"
                              "sections.contiguous|VirtualAddress of PE section 1|1ac|5000\n");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoiled_images),    cmocka_unit_test(spoiled_bytes),
        cmocka_unit_test(minimal_images),    cmocka_unit_test(headers_at_the_end),
        cmocka_unit_test(section_counts),    cmocka_unit_test(large_alignment),
        cmocka_unit_test(every_broken_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
