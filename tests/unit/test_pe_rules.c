/*
 * The rule table itself: its rows, who is asked which, and what is told of a broken one. Images for
 * each rule are the odd images' (tests/odd/odd_rules.c, odd_rules_loader.c).
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

/*
 * One row per id, version and format, so that what refuses has one status and one sentence; rows of
 * one id share stage and role.
 */
static void check_rows(const struct pe_rule *a, const struct pe_rule *b)
{
    if (strcmp(a->id, b->id) != 0)
        return;
    assert_false((a->windows & b->windows) && (a->formats & b->formats));
    assert_int_equal(a->stage, b->stage);
    assert_int_equal(a->roles, b->roles);
}

static void rows_are_distinct(void **state)
{
    for (uint32_t i = 0; i < pe_rule_count; i++) {
        const struct pe_rule *rule = &pe_rules[i];
        assert_true(*rule->id && *rule->text);
        assert_true(rule->windows && !(rule->windows & ~PE_WINDOWS_ALL));
        assert_true(rule->formats && rule->roles);
        assert_false(nt_ok(rule->status));
        assert_int_equal(rule->holds == NULL, rule->stage == PE_STAGE_MOVE);
        for (uint32_t j = 0; j < i; j++)
            check_rows(rule, &pe_rules[j]);
    }
}

/* Rows stand in the order in which Windows asks. */
static void stages_follow_each_other(void **state)
{
    for (uint32_t i = 1; i < pe_rule_count; i++)
        assert_true(pe_rules[i - 1].stage <= pe_rules[i].stage);
}

static void rows_are_found_by_version(void **state)
{
    struct pe_image image = {.windows = PE_WINDOWS_XP};
    assert_null(pe_rule_find(&image, "opt.headers_total"));
    assert_non_null(pe_rule_find(&image, "sections.count_max"));
    image.windows = PE_WINDOWS_7;
    const struct pe_rule *seven = pe_rule_find(&image, "opt.headers_total");
    assert_non_null(seven);
    assert_non_null(pe_rule_find(&image, "ldr.end"));
    image.h.pe32_plus = true;
    assert_null(pe_rule_find(&image, "ldr.end"));
    image.windows = PE_WINDOWS_10;
    assert_ptr_not_equal(pe_rule_find(&image, "opt.headers_total"), seven);
    assert_null(pe_rule_find(&image, "no.such.rule"));
}

/* Stage and role decide who is asked: a DLL needs no subsystem. */
static void roles_and_stages(void **state)
{
    uint64_t size;
    struct pebuild *b = page_aligned(PEBUILD_EXE);
    struct pe_error err = {0};
    b->h.subsystem = IMAGE_SUBSYSTEM_NATIVE;
    uint8_t *bytes = pebuild_finish(b, &size);
    struct pe_image image = pe_read((struct pe_span){bytes, size}, PE_LAYOUT_FILE);
    struct pe_rule_query query = {PE_STAGE_SECTION, PE_ROLE_PROGRAM};
    assert_status(pe_rules_check(&image, query, &err), STATUS_SUCCESS);
    query = (struct pe_rule_query){PE_STAGE_PROCESS, PE_ROLE_DLL};
    assert_status(pe_rules_check(&image, query, &err), STATUS_SUCCESS);
    query.roles = PE_ROLE_PROGRAM;
    assert_status(pe_rules_check(&image, query, &err), STATUS_INVALID_IMAGE_FORMAT);
    assert_string_equal(err.rule, "exe.subsystem");
    assert_string_equal(err.text,
                        "refused by rule exe.subsystem (Windows XP, 7, 10): the subsystem is 1");
    free(bytes);
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
        cmocka_unit_test(rows_are_distinct),
        cmocka_unit_test(stages_follow_each_other),
        cmocka_unit_test(rows_are_found_by_version),
        cmocka_unit_test(roles_and_stages),
        cmocka_unit_test(spoiled_bytes),
        cmocka_unit_test(every_broken_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
