/*
 * Looking up many names in turn answers what looking up each by itself answers, whatever the order
 * of the table, of the names that are asked for, and their hints (facts 3.4; behaviours, Exports).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pe/exports.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

#define COUNT 400

static struct pebuild_export table[COUNT];
static char texts[COUNT][24];
static uint8_t *bytes;
static struct pe_image image;
static struct pe_exports exports;

/* A table of names that rise, of different lengths, some of which begin others. */
static int set_up(void **state)
{
    uint64_t size;
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof(texts[i]), "name_%03d%.*s", i / 2, i % 2 * (1 + i % 7),
                 "_longer_than");
        table[i] =
            (struct pebuild_export){texts[i], (uint16_t)(i + 1), 0x1000u + (uint32_t)i, NULL};
    }
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    pebuild_section(b, ".text", PEBUILD_TEXT, "text", 4, 0);
    pebuild_exports(b, "mod.dll", 1, table, COUNT);
    bytes = pebuild_finish(b, &size);
    assert_status(pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, NULL),
                  STATUS_SUCCESS);
    assert_true(pe_exports_open(&image, &exports));
    assert_int_equal(exports.name_count, COUNT);
    return 0;
}

static int tear_down(void **state)
{
    free(bytes);
    return 0;
}

static uint8_t *name_entry(uint32_t i)
{
    uint64_t offset;
    assert_true(pe_rva_to_offset(&image, exports.names_rva + 4 * i, &offset));
    return bytes + offset;
}

static uint32_t next_random(uint32_t below)
{
    static uint32_t seed = 1;
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void ask(struct pe_name_walk *walk, const char *text, uint32_t hint)
{
    struct pe_str name = {text, (uint32_t)strlen(text)};
    struct pe_export one, other;
    bool found = pe_export_by_name(&exports, name, hint, &one);
    assert_int_equal(pe_export_by_name_in_walk(&exports, walk, name, hint, &other), found);
    if (!found)
        return;
    assert_int_equal(other.hint, one.hint);
    assert_int_equal(other.rva, one.rva);
    assert_int_equal(other.ordinal, one.ordinal);
    assert_int_equal(other.name.len, name.len);
    assert_memory_equal(other.name.ptr, text, name.len);
}

enum hints { RIGHT, ZERO, NEXT, NONE, RANDOM, KINDS };

static uint32_t hint_for(enum hints kind, uint32_t i)
{
    const uint32_t by_kind[] = {i, 0, i + 1, UINT32_MAX, next_random(COUNT + 9)};
    return by_kind[kind];
}

/* In the table's order, backwards, with gaps and at random; names that are not there in between. */
static void ask_in_every_order(void)
{
    for (enum hints kind = RIGHT; kind < KINDS; kind++) {
        struct pe_name_walk walks[4] = {{COUNT}, {COUNT}, {COUNT}, {COUNT}};
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t random = next_random(COUNT);
            ask(&walks[0], texts[i], hint_for(kind, i));
            ask(&walks[1], texts[COUNT - 1 - i], hint_for(kind, COUNT - 1 - i));
            ask(&walks[2], texts[i * 13 % COUNT], hint_for(kind, i * 13 % COUNT));
            ask(&walks[3], texts[random], hint_for(kind, random));
            if (i % 5 == 0) {
                ask(&walks[0], "name_1", hint_for(kind, i));
                ask(&walks[1], "zzz", hint_for(kind, i));
                ask(&walks[2], "", hint_for(kind, i));
            }
        }
    }
}

static void names_that_rise(void **state)
{
    struct pe_name_walk walk = {.expected = COUNT};
    struct pe_export e;
    ask_in_every_order();
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(pe_export_by_name_in_walk(
            &exports, &walk, (struct pe_str){texts[i], (uint32_t)strlen(texts[i])}, 0, &e));
    assert_int_equal(walk.order, PE_NAMES_RISE);
    assert_int_equal(walk.next, COUNT);
}

/* Going through the table would cost more than it saves. */
static void few_names_among_many(void **state)
{
    struct pe_name_walk walk = {.expected = 20};
    for (uint32_t i = 0; i < 20; i++)
        ask(&walk, texts[i * 17], 0);
    assert_int_equal(walk.order, PE_NAMES_UNORDERED);
}

/* A search by halves misses some names then, and so must every other one. */
static void names_out_of_order(void **state)
{
    uint8_t entry[4];
    for (int swap = 0; swap < 20; swap++) {
        uint8_t *a = name_entry(next_random(COUNT)), *b = name_entry(next_random(COUNT));
        memcpy(entry, a, 4);
        memcpy(a, b, 4);
        memcpy(b, entry, 4);
        ask_in_every_order();
    }
    int missed = 0;
    struct pe_export e;
    for (uint32_t i = 0; i < COUNT; i++)
        missed += !pe_export_by_name(
            &exports, (struct pe_str){texts[i], (uint32_t)strlen(texts[i])}, UINT32_MAX, &e);
    assert_int_not_equal(missed, 0);
}

static void names_that_are_there_twice(void **state)
{
    for (uint32_t i = 0; i + 1 < COUNT; i += 10)
        memcpy(name_entry(i + 1), name_entry(i), 4);
    ask_in_every_order();
}

static void a_name_that_cannot_be_read(void **state)
{
    memset(name_entry(COUNT / 2), 0xff, 4);
    ask_in_every_order();
}

/* Names in front of the directory are not in what was looked at in one piece. */
static void a_name_that_lies_apart(void **state)
{
    const uint8_t text_rva[] = {0, 0x10, 0, 0}; /* "text" */
    memcpy(name_entry(COUNT - 1), text_rva, 4);
    ask_in_every_order();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_that_rise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_names_among_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_out_of_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_are_there_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_cannot_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_lies_apart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
