/*
 * Tables of C++ functions and of thrown objects (loader/win32/crt/eh_*.c), made by hand: both
 * encodings, matching of types, pointers to base classes, and tables that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/win32/crt/eh_state.h"
#include "loader/win32/crt/eh_thrown.h"

/* An image of its own in this array: the tables are put where a test wants them. */
static _Alignas(16) uint8_t bytes[0x400];
static struct eh_image image = {0, {bytes, sizeof(bytes)}};

static int clear(void **state)
{
    memset(bytes, 0, sizeof(bytes));
    image.base = (uintptr_t)bytes;
    return 0;
}

static uint32_t put32(uint32_t at, uint32_t value)
{
    memcpy(bytes + at, &value, 4);
    return at + 4;
}

/* A reference as the word size has it. */
static uint32_t put_reference(uint32_t at, uint32_t offset)
{
#if defined(__i386__)
    return put32(at, offset != 0 ? (uint32_t)image.base + offset : 0);
#else
    return put32(at, offset);
#endif
}

static uint32_t put8(uint32_t at, uint8_t value)
{
    bytes[at] = value;
    return at + 1;
}

/* ---- packed integers ----------------------------------------------------------------------------
 */

static void packed_integers(void **state)
{
    static const struct {
        uint8_t bytes[5];
        uint32_t length, value;
    } cases[] = {
        {{0x00}, 1, 0},
        {{0xFE}, 1, 127},
        {{0x01, 0x02}, 2, 128},
        {{0xFD, 0xFF}, 2, 0x3FFF},
        {{0x03, 0x00, 0x02}, 3, 0x4000},
        {{0xFB, 0xFF, 0xFF}, 3, 0x1FFFFF},
        {{0x07, 0x00, 0x00, 0x02}, 4, 0x200000},
        {{0x0F, 0x78, 0x56, 0x34, 0x12}, 5, 0x12345678},
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 5, 0xFFFFFFFF},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t at = sizeof(bytes) - cases[i].length, value;
        memcpy(bytes + at, cases[i].bytes, cases[i].length);
        assert_true(eh_read_packed(&image, &at, &value));
        assert_int_equal(value, cases[i].value);
        assert_int_equal(at, sizeof(bytes));
        at = sizeof(bytes) - cases[i].length + 1; /* the last byte is missing */
        memcpy(bytes + at, cases[i].bytes, cases[i].length - 1);
        assert_int_equal(eh_read_packed(&image, &at, &value), false);
    }
}

/* ---- version 3 ----------------------------------------------------------------------------------
 */

enum { INFO = 0x40, UNWIND = 0x80, TRIES = 0xC0, CATCHES = 0x100, POINTS = 0x140 };

/*
 * State 1 has clean-up code at 0x21, inside of state 0; a try block is state 2, its catch blocks
 * state 3.
 */
static void make_v3(uint32_t magic, uint32_t flags)
{
    uint32_t at = put32(INFO, magic);
    at = put_reference(put32(at, 4), UNWIND);
    at = put_reference(put32(at, 1), TRIES);
    at = put_reference(put32(at, 2), POINTS);
#if defined(__x86_64__)
    at = put32(at, 0x20);
#endif
    put32(put32(at, 0), flags);
    static const struct {
        uint32_t to, code;
    } states[] = {{UINT32_MAX, 0}, {0, 0x21}, {0, 0}, {0, 0}};
    at = UNWIND;
    for (size_t i = 0; i < 4; i++)
        at = put_reference(put32(at, states[i].to), states[i].code);
    at = put32(put32(put32(put32(TRIES, 2), 2), 3), 1);
    put_reference(at, CATCHES);
    at = put_reference(put32(CATCHES, EH_IS_REFERENCE), 0x200);
    put_reference(put32(at, (uint32_t)-16), 0x22);
    put32(put32(put32(put32(POINTS, 0x20), 1), 0x28), 2);
}

static void version_3(void **state)
{
    struct eh_function f;
    struct eh_try block;
    struct eh_catch code;
    struct eh_action action;
    int32_t found;
    make_v3(EH_MAGIC + 2, EH_SYNCHRONOUS | EH_NOEXCEPT);
    assert_true(eh_open_v3(&image, INFO, &f));
    assert_int_equal(f.flags, EH_SYNCHRONOUS | EH_NOEXCEPT);
    static const struct {
        uint32_t pc;
        int32_t state;
    } points[] = {{0, -1}, {0x1F, -1}, {0x20, 1}, {0x27, 1}, {0x28, 2}, {0x300, 2}};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        assert_true(f.format->state_at(&f, points[i].pc, &found));
        assert_int_equal(found, points[i].state);
    }
    uint32_t at = f.try_map;
    assert_true(f.format->next_try(&f, &at, &block));
    assert_int_equal(block.low, 2);
    assert_int_equal(block.high, 2);
    assert_int_equal(block.catch_high, 3);
    assert_int_equal(block.catches, 1);
    at = block.catch_map;
    assert_true(f.format->next_catch(&f, &at, &code));
    assert_int_equal(code.adjectives, EH_IS_REFERENCE);
    assert_int_equal(code.type, 0x200);
    assert_int_equal(code.object, -16);
    assert_int_equal(code.code, 0x22);
    assert_true(f.format->action(&f, 1, &action));
    assert_int_equal(action.kind, EH_RUN);
    assert_int_equal(action.code, 0x21);
    assert_int_equal(action.to, 0);
    assert_true(f.format->action(&f, 3, &action));
    assert_int_equal(action.kind, EH_NOTHING);
    assert_false(f.format->action(&f, 4, &action));
    assert_false(f.format->action(&f, -1, &action));
}

static void version_3_old(void **state)
{
    struct eh_function f;
    make_v3(EH_MAGIC | 0x20000000, EH_SYNCHRONOUS);
    assert_true(eh_open_v3(&image, INFO, &f));
    assert_int_equal(f.flags, 0); /* older than the field */
}

static void version_3_hostile(void **state)
{
    static const struct {
        uint32_t at, value;
    } breaks[] = {
        {INFO, 0x19930523},      {INFO, 0},          {INFO + 4, 0x71},
        {INFO + 8, 0xFFFFFFF0},  {INFO + 12, 60},    {INFO + 16, 0x7FFFFFFF},
        {INFO + 20, 0x20000001}, {INFO + 24, 0x3FC},
    };
    struct eh_function f;
    struct eh_action action;
    struct eh_try block;
    for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
        make_v3(EH_MAGIC + 2, 0);
        put32(breaks[i].at, breaks[i].value);
        assert_false(eh_open_v3(&image, INFO, &f));
    }
    assert_false(eh_open_v3(&image, sizeof(bytes) - 4, &f));
    make_v3(EH_MAGIC + 2, 0);
    put32(UNWIND + 8, 1); /* a state that encloses itself */
    put32(TRIES, 3);      /* low > high */
    assert_true(eh_open_v3(&image, INFO, &f));
    assert_false(f.format->action(&f, 1, &action));
    uint32_t at = f.try_map;
    assert_false(f.format->next_try(&f, &at, &block));
    put32(TRIES, 2);
    put32(TRIES + 12, 1000); /* more catch blocks than the image holds */
    at = f.try_map;
    assert_false(f.format->next_try(&f, &at, &block));
}

/* ---- version 4 ----------------------------------------------------------------------------------
 */

/* FuncInfo4 at INFO: all maps, synchronous; the function begins at 0x20. */
static void make_v4(uint8_t head)
{
    uint32_t at = put8(INFO, head);
    at = put32(put32(put32(at, UNWIND), TRIES), POINTS);
    put8(at, 0x58 << 1); /* the parent's frame */
    at = put8(UNWIND, 4 << 1);
    at = put8(at, (1 << 2 | EH_NOTHING) << 1); /* 0 -> -1, one byte */
    at = put8(at, (1 << 2 | EH_DESTROY) << 1); /* 1 -> 0, six bytes */
    at = put8(put32(at, 0x300), 0x30 << 1);
    at = put8(at, (7 << 2 | EH_RUN) << 1); /* 2 -> 0 */
    at = put32(at, 0x304);
    at = put8(at, (11 << 2 | EH_DESTROY_POINTED) << 1); /* 3 -> 1 */
    put8(put32(at, 0x308), 0x38 << 1);
    at = put8(put8(put8(put8(TRIES, 1 << 1), 1 << 1), 2 << 1), 3 << 1);
    put32(at, CATCHES);
    at = put8(CATCHES, 2 << 1);
    at = put8(at, 1 | 2 | 4 | 1 << 4); /* adjectives, type, object, one place to go on */
    at = put32(put8(at, EH_IS_REFERENCE << 1), 0x200);
    at = put8(put32(put8(at, 0x40 << 1), 0x310), 0x15 << 1);
    at = put8(at, 8 | 2 << 4); /* catch (...), two places, RVAs */
    put32(put32(put32(at, 0x314), 0x318), 0x31C);
    at = put8(put8(put8(POINTS, 3 << 1), 5 << 1), (1 + 1) << 1);
    put8(put8(put8(put8(at, 3 << 1), (3 + 1) << 1), 8 << 1), 0);
}

enum { ALL_MAPS = 8 | 0x10, SYNCHRONOUS_4 = 0x20, NOEXCEPT_4 = 0x40, CATCH_4 = 1, SEPARATED = 2 };

static void version_4_states(void **state)
{
    struct eh_function f;
    struct eh_action a;
    int32_t found;
    make_v4(ALL_MAPS | SYNCHRONOUS_4 | NOEXCEPT_4 | CATCH_4);
    assert_true(eh_open_v4(&image, INFO, 0x20, &f));
    assert_int_equal(f.flags, EH_SYNCHRONOUS | EH_NOEXCEPT | EH_CATCH);
    assert_int_equal(f.parent_frame, 0x58);
    static const struct eh_action actions[] = {{-1, EH_NOTHING, 0, 0},
                                               {0, EH_DESTROY, 0x300, 0x30},
                                               {0, EH_RUN, 0x304, 0},
                                               {1, EH_DESTROY_POINTED, 0x308, 0x38}};
    for (int32_t i = 0; i < 4; i++) {
        assert_true(f.format->action(&f, i, &a));
        assert_memory_equal(&a, &actions[i], sizeof(a));
    }
    assert_false(f.format->action(&f, 4, &a));
    static const struct {
        uint32_t pc;
        int32_t state;
    } points[] = {{0x20, -1}, {0x24, -1}, {0x25, 1}, {0x28, 3}, {0x2F, 3}, {0x30, -1}};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        assert_true(f.format->state_at(&f, points[i].pc, &found));
        assert_int_equal(found, points[i].state);
    }
}

static void version_4_catches(void **state)
{
    struct eh_function f;
    struct eh_try block;
    struct eh_catch code;
    make_v4(ALL_MAPS);
    assert_true(eh_open_v4(&image, INFO, 0x20, &f));
    assert_int_equal(f.flags, 0);
    uint32_t at = f.try_map;
    assert_true(f.format->next_try(&f, &at, &block));
    assert_int_equal(block.low, 1);
    assert_int_equal(block.high, 2);
    assert_int_equal(block.catch_high, 3);
    assert_int_equal(block.catches, 2);
    at = block.catch_map;
    assert_true(f.format->next_catch(&f, &at, &code));
    assert_int_equal(code.adjectives, EH_IS_REFERENCE);
    assert_int_equal(code.type, 0x200);
    assert_int_equal(code.object, 0x40);
    assert_int_equal(code.code, 0x310);
    assert_int_equal(code.next_count, 1);
    assert_int_equal(code.next[0], 0x35); /* from the function's start */
    assert_true(f.format->next_catch(&f, &at, &code));
    assert_int_equal(code.type, 0);
    assert_int_equal(code.next_count, 2);
    assert_int_equal(code.next[0], 0x318);
    assert_int_equal(code.next[1], 0x31C);
}

/* The map of parts: the one that starts at 0x60 has the states, the others none. */
static void version_4_parts(void **state)
{
    struct eh_function f;
    int32_t found;
    make_v4(ALL_MAPS | SEPARATED);
    put32(INFO + 9, 0x180);
    uint32_t at = put8(0x180, 2 << 1);
    at = put32(put32(at, 0x50), 0x1A0);
    put32(put32(at, 0x60), POINTS);
    put8(0x1A0, 0);
    assert_true(eh_open_v4(&image, INFO, 0x60, &f));
    assert_true(f.format->state_at(&f, 0x68, &found));
    assert_int_equal(found, 3);
    assert_true(eh_open_v4(&image, INFO, 0x50, &f));
    assert_true(f.format->state_at(&f, 0x58, &found));
    assert_int_equal(found, -1);
    assert_true(eh_open_v4(&image, INFO, 0x70, &f));
    assert_true(f.format->state_at(&f, 0x78, &found));
    assert_int_equal(found, -1);
}

static void version_4_hostile(void **state)
{
    struct eh_function f;
    struct eh_action a;
    struct eh_try block;
    struct eh_catch code;
    int32_t found;
    make_v4(ALL_MAPS);
    put32(INFO + 1, sizeof(bytes));
    assert_false(eh_open_v4(&image, INFO, 0x20, &f));
    make_v4(ALL_MAPS);
    put32(INFO + 9, sizeof(bytes) - 1); /* its count says one entry more than there are bytes */
    put8(sizeof(bytes) - 1, 1 << 1);
    assert_false(eh_open_v4(&image, INFO, 0x20, &f));
    assert_false(eh_open_v4(&image, sizeof(bytes), 0x20, &f));
    make_v4(ALL_MAPS);
    put8(UNWIND + 2, EH_DESTROY << 1);        /* state 1 encloses itself */
    put8(UNWIND + 8, (3 << 2 | EH_RUN) << 1); /* state 2: into the middle of 1 */
    put8(TRIES + 2, 0);                       /* high < low */
    put8(CATCHES + 1, 3 << 4);                /* three places to go on */
    put8(POINTS + 2, (5 + 1) << 1);           /* no such state */
    assert_true(eh_open_v4(&image, INFO, 0x20, &f));
    assert_false(f.format->action(&f, 1, &a));
    assert_false(f.format->action(&f, 2, &a));
    assert_false(f.format->state_at(&f, 0x28, &found));
    uint32_t at = f.try_map;
    assert_false(f.format->next_try(&f, &at, &block));
    at = CATCHES + 1;
    assert_false(f.format->next_catch(&f, &at, &code));
}

/* ---- thrown objects -----------------------------------------------------------------------------
 */

enum { THROWN = 0x80, LIST = 0xA0, FIRST_TYPE = 0xC0, SECOND_TYPE = 0xE0, NAMES = 0x200 };

static void put_type(uint32_t at, uint32_t properties, uint32_t descriptor, int32_t member)
{
    at = put_reference(put32(at, properties), descriptor);
    at = put32(put32(put32(at, (uint32_t)member), UINT32_MAX), 0);
    put_reference(put32(at, 24), 0);
}

/* An object of type "derived", whose base class "base" lies 8 bytes into it. */
static struct eh_thrown make_thrown(uint32_t attributes)
{
    static uint8_t object[24];
    const uint32_t name_at = 2 * sizeof(void *);
    put_reference(put32(put32(THROWN, attributes), 0) + 4, LIST);
    put_reference(put_reference(put32(LIST, 2), FIRST_TYPE), SECOND_TYPE);
    put_type(FIRST_TYPE, 0, NAMES, 0);
    put_type(SECOND_TYPE, EH_REFERENCE_ONLY, NAMES + 0x40, 8);
    strcpy((char *)bytes + NAMES + name_at, ".?AUderived@@");
    strcpy((char *)bytes + NAMES + 0x40 + name_at, ".?AUbase@@");
    strcpy((char *)bytes + NAMES + 0x80 + name_at, ".?AUbase@@");
    strcpy((char *)bytes + NAMES + 0xC0 + name_at, ".?AUother@@");
    return (struct eh_thrown){.object = object,
                              .image = image,
                              .attributes = attributes,
                              .types = 2,
                              .type_map = LIST + 4};
}

static void matching(void **state)
{
    struct eh_type as;
    enum { CONST = EH_IS_CONST, REF = EH_IS_REFERENCE, DERIVED = NAMES, BASE = NAMES + 0x80 };
    static const struct {
        uint32_t attributes, adjectives, type;
        bool takes;
    } cases[] = {
        {0, 0, DERIVED, true},
        {0, REF, DERIVED, true},
        {0, CONST, DERIVED, true},
        {0, REF, BASE, true}, /* another descriptor, the same name */
        {0, 0, BASE, false},
        {1, 0, DERIVED, false},
        {1, CONST, DERIVED, true},
        {2, CONST, DERIVED, false},
        {3, CONST | EH_IS_VOLATILE, DERIVED, true},
        {0, REF, NAMES + 0xC0, false},
        {3, 0, 0, true},                  /* catch (...) */
        {0, 0, sizeof(bytes) - 8, false}, /* the name lies outside */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct eh_thrown thrown = make_thrown(cases[i].attributes);
        struct eh_catch code = {.adjectives = cases[i].adjectives, .type = cases[i].type};
        assert_int_equal(eh_matches(&image, &code, &thrown, &as), cases[i].takes);
    }
    struct eh_thrown nothing = {0};
    struct eh_catch all = {.adjectives = EH_IS_STANDARD_DOTS};
    assert_true(eh_matches(&image, &all, &nothing, &as));
}

static void variables(void **state)
{
    struct eh_thrown thrown = make_thrown(0);
    struct eh_type as;
    void *pointer = NULL;
    assert_true(eh_thrown_type(&thrown, 1, &as));
    eh_build(&pointer, EH_IS_REFERENCE, &thrown, &as);
    assert_ptr_equal(pointer, (char *)thrown.object + 8);
    assert_false(eh_thrown_type(&thrown, 2, &as));
    /* A pointer is thrown: it is what is adjusted, unless it is null. */
    static char target[16];
    void *value = target;
    struct eh_thrown of_pointer = {.object = &value, .image = image};
    struct eh_type simple = {.properties = EH_SIMPLE, .where = {4, -1, 0}, .size = sizeof(value)};
    eh_build(&pointer, 0, &of_pointer, &simple);
    assert_ptr_equal(pointer, target + 4);
    value = NULL;
    eh_build(&pointer, 0, &of_pointer, &simple);
    assert_null(pointer);
    /* No copy constructor: the base class's bytes. */
    memcpy((char *)thrown.object + 8, "01234567890123456789", 8);
    char copy[8];
    struct eh_type plain = {.where = {8, -1, 0}, .size = 8};
    eh_build(copy, 0, &thrown, &plain);
    assert_memory_equal(copy, "01234567", 8);
}

/* A virtual base: the object's table at `table` holds the distance from there. */
static void virtual_base(void **state)
{
    static const int32_t table[] = {0, 24};
    struct {
        uintptr_t first;
        const void *table;
        char rest[32];
    } object = {0, table, ""};
    struct eh_displacement where = {4, sizeof(uintptr_t), 4};
    assert_ptr_equal(eh_adjust(&object, &where), (char *)&object + sizeof(uintptr_t) + 24 + 4);
}

static void records(void **state)
{
    struct ke_exception_record record = {
        .ExceptionCode = EH_CODE,
        .NumberParameters = KE_BY_WORD(4, 3),
        .ExceptionInformation = {EH_MAGIC, 0x1000, 0},
    };
    struct eh_thrown thrown;
    assert_true(eh_is_cxx(&record));
    assert_true(eh_is_rethrow(&record));
    assert_false(eh_thrown_of(&record, &thrown));
    record.ExceptionInformation[2] = 16; /* tables in no image */
    assert_false(eh_is_rethrow(&record));
    assert_false(eh_thrown_of(&record, &thrown));
    record.ExceptionInformation[0] = 0;
    assert_false(eh_is_cxx(&record));
    record.ExceptionInformation[0] = EH_MAGIC;
    record.NumberParameters = 2;
    assert_false(eh_is_cxx(&record));
}

/* ---- what a thread is doing ---------------------------------------------------------------------
 */

static void catch_blocks(void **state)
{
    struct ke_exception_record one = {.ExceptionInformation = {EH_MAGIC, 0x1000}};
    struct ke_exception_record two = {.ExceptionInformation = {EH_MAGIC, 0x2000}};
    struct eh_record outer = {.frame = UINTPTR_MAX - 16, .state = 1, .exception = &one};
    struct eh_record inner = {.frame = UINTPTR_MAX - 32, .state = 2, .exception = &two};
    struct eh_record cleanup;
    int32_t found;
    assert_null(eh_current_catch());
    eh_enter_catch(&outer);
    eh_enter_catch(&inner);
    eh_enter_cleanup(&cleanup, UINTPTR_MAX - 48, 3);
    assert_int_equal(*eh_unwinding(), 1);
    assert_ptr_equal(eh_current_catch(), &inner);
    assert_ptr_equal(*eh_current_exception(), &two);
    assert_true(eh_state_of_frame(UINTPTR_MAX - 16, &found));
    assert_int_equal(found, 1);
    assert_true(eh_state_of_frame(UINTPTR_MAX - 48, &found));
    assert_int_equal(found, 3);
    assert_false(eh_state_of_frame(64, &found));
    assert_true(eh_left_fence(UINTPTR_MAX));
    assert_false(eh_left_fence(0));
    assert_false(eh_is_last((void *)0x1000));
    eh_leave(&cleanup);
    assert_false(eh_left_fence(UINTPTR_MAX));
    assert_int_equal(*eh_unwinding(), 0);
    /* An unwind to the outer function's frame ends the inner one's catch block. */
    assert_ptr_equal(eh_next_abandoned(outer.frame, NULL), &outer);
    assert_ptr_equal(eh_current_catch(), &outer);
    assert_ptr_equal(*eh_current_exception(), &one);
    assert_true(eh_is_last((void *)0x2000));
    eh_end(&outer);
    assert_null(eh_current_catch());
    assert_null(*eh_current_exception());
    assert_null(eh_next_abandoned(UINTPTR_MAX, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(packed_integers, clear),
        cmocka_unit_test_setup(version_3, clear),
        cmocka_unit_test_setup(version_3_old, clear),
        cmocka_unit_test_setup(version_3_hostile, clear),
        cmocka_unit_test_setup(version_4_states, clear),
        cmocka_unit_test_setup(version_4_catches, clear),
        cmocka_unit_test_setup(version_4_parts, clear),
        cmocka_unit_test_setup(version_4_hostile, clear),
        cmocka_unit_test_setup(matching, clear),
        cmocka_unit_test_setup(variables, clear),
        cmocka_unit_test_setup(virtual_base, clear),
        cmocka_unit_test_setup(records, clear),
        cmocka_unit_test_setup(catch_blocks, clear),
    };
    return cmocka_run_group_tests_name("crt_eh", tests, NULL, NULL);
}
