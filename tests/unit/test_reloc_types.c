/*
 * What each type does to its field, by the PE specification and the ARM Architecture Reference
 * Manual; which machine takes which; and that a delta and its negative restore the bytes.
 */
#include "tests/unit/reloc_image.h"

#define REFUSED 0xff

/* ---- the field arithmetic
 * ------------------------------------------------------------------------ */

struct vector {
    const char *what;
    uint16_t machine;
    uint8_t type;
    uint16_t parameter;
    int64_t delta;
    uint8_t before[8], after[8];
    enum pe_windows windows; /* 0 = 10 */
};

static const struct vector vectors[] = {
    {"HIGH adds the high half",
     IMAGE_FILE_MACHINE_I386,
     1,
     0,
     0x00560000,
     {0x34, 0x12},
     {0x8a, 0x12}},
    {"HIGH wraps", IMAGE_FILE_MACHINE_I386, 1, 0, 0x00010000, {0xff, 0xff}, {0x00, 0x00}},
    {"HIGH down", IMAGE_FILE_MACHINE_I386, 1, 0, -0x00020000, {0x34, 0x12}, {0x32, 0x12}},
    {"LOW is not moved by a real delta", IMAGE_FILE_MACHINE_I386, 2, 0, 0x7fff0000, {1, 2}, {1, 2}},
    {"LOW adds the low half", IMAGE_FILE_MACHINE_I386, 2, 0, 0x12345, {0x34, 0x12}, {0x79, 0x35}},
    {"HIGHLOW",
     IMAGE_FILE_MACHINE_I386,
     3,
     0,
     0x20000,
     {0x78, 0x56, 0x34, 0x12},
     {0x78, 0x56, 0x36, 0x12}},
    {"HIGHLOW wraps at 32 bits",
     IMAGE_FILE_MACHINE_AMD64,
     3,
     0,
     0x20000,
     {0, 0xf0, 0xff, 0xff, 9},
     {0, 0xf0, 1, 0, 9}},
    {"HIGHLOW takes the low 32 bits of a delta",
     IMAGE_FILE_MACHINE_AMD64,
     3,
     0,
     0x500010000,
     {1, 0, 0, 0, 9},
     {1, 0, 1, 0, 9}},
    /* 0x12348765 is held as 0x1235 and the signed 0x8765 */
    {"HIGHADJ",
     IMAGE_FILE_MACHINE_I386,
     4,
     0x8765,
     0x00100000,
     {0x35, 0x12},
     {0x45, 0x12},
     PE_WINDOWS_7},
    /* behaviours, Relocations: 9d becomes a0 */
    {"HIGHADJ since Windows 8",
     IMAGE_FILE_MACHINE_I386,
     4,
     0xffff,
     0x00020000,
     {0x9d, 0x00},
     {0xa0, 0x00}},
    {"HIGHADJ before Windows 8",
     IMAGE_FILE_MACHINE_I386,
     4,
     0xffff,
     0x00020000,
     {0x9d, 0x00},
     {0x9f, 0x00},
     PE_WINDOWS_XP},
    {"HIGHADJ, parameter without sign",
     IMAGE_FILE_MACHINE_I386,
     4,
     0x4321,
     0x00100000,
     {0x34, 0x12},
     {0x44, 0x12}},
    {"HIGHADJ, the low half turns positive",
     IMAGE_FILE_MACHINE_I386,
     4,
     0x8765,
     0x00108000,
     {0x35, 0x12},
     {0x45, 0x12},
     PE_WINDOWS_7},
    {"HIGHADJ, the low half turns negative",
     IMAGE_FILE_MACHINE_I386,
     4,
     0x4321,
     0x00104000,
     {0x34, 0x12},
     {0x45, 0x12}},
    {"DIR64",
     IMAGE_FILE_MACHINE_AMD64,
     10,
     0,
     -0x170000000,
     {0, 0x10, 0, 0x80, 1},
     {0, 0x10, 0, 0x10, 0}},
    {"DIR64 carries",
     IMAGE_FILE_MACHINE_ARM64,
     10,
     0,
     0x10000,
     {1, 0, 0xff, 0xff, 0xff, 0, 0, 0},
     {1, 0, 0, 0, 0, 1, 0, 0}},
    /* movw r0, #0x5678; movt r0, #0x1234 */
    {"ARM_MOV32",
     IMAGE_FILE_MACHINE_ARMNT,
     5,
     0,
     0x000b0000,
     {0x78, 0x06, 0x05, 0xe3, 0x34, 0x02, 0x41, 0xe3},
     {0x78, 0x06, 0x05, 0xe3, 0x3f, 0x02, 0x41, 0xe3}},
    {"ARM_MOV32 carries into MOVT",
     IMAGE_FILE_MACHINE_ARM,
     5,
     0,
     0xf000,
     {0x78, 0x06, 0x05, 0xe3, 0x34, 0x02, 0x41, 0xe3},
     {0x78, 0x06, 0x04, 0xe3, 0x35, 0x02, 0x41, 0xe3}},
    {"THUMB_MOV32",
     IMAGE_FILE_MACHINE_ARMNT,
     7,
     0,
     0x000b0000,
     {0x45, 0xf2, 0x78, 0x60, 0xc1, 0xf2, 0x34, 0x20},
     {0x45, 0xf2, 0x78, 0x60, 0xc1, 0xf2, 0x3f, 0x20}},
    {"THUMB_MOV32 sets the i bit",
     IMAGE_FILE_MACHINE_THUMB,
     7,
     0,
     0x0800,
     {0x45, 0xf2, 0x78, 0x60, 0xc1, 0xf2, 0x34, 0x20},
     {0x45, 0xf6, 0x78, 0x60, 0xc1, 0xf2, 0x34, 0x20}},
    {"THUMB_MOV32 carries, all fields of MOVT",
     IMAGE_FILE_MACHINE_ARMNT,
     7,
     0,
     (int64_t)0xbbbbf000,
     {0x45, 0xf2, 0x78, 0x60, 0xc1, 0xf2, 0x34, 0x20},
     {0x44, 0xf2, 0x78, 0x60, 0xcc, 0xf6, 0xf0, 0x50}},
    {"MIPS_JMPADDR",
     IMAGE_FILE_MACHINE_R4000,
     5,
     0,
     0x10000,
     {0, 0, 0x10, 0x08},
     {0, 0x40, 0x10, 0x08}},
    {"MIPS_JMPADDR keeps the opcode",
     IMAGE_FILE_MACHINE_R4000,
     5,
     0,
     0x10000,
     {0xff, 0xff, 0xff, 0x0f},
     {0xff, 0x3f, 0, 0x0c}},
    {"MIPS_JMPADDR on x86",
     IMAGE_FILE_MACHINE_I386,
     5,
     0,
     0x20000,
     {1, 0, 0, 0xfc},
     {1, 0x80, 0, 0xfc},
     PE_WINDOWS_7},
    {"SECTION does nothing", IMAGE_FILE_MACHINE_I386, 6, 0, 0x20000, {1, 2}, {1, 2}, PE_WINDOWS_XP},
    {"REL32 does nothing", IMAGE_FILE_MACHINE_AMD64, 7, 0, 0x20000, {1, 2}, {1, 2}, PE_WINDOWS_7},
};

static struct test_image one_fixup(uint16_t machine, uint8_t type, uint16_t parameter,
                                   const uint8_t field[8])
{
    bool plus = machine == IMAGE_FILE_MACHINE_AMD64 || machine == IMAGE_FILE_MACHINE_ARM64;
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (plus ? PEBUILD_PE32_PLUS : 0));
    uint8_t data[16] = {0};
    b->h.machine = machine;
    memcpy(data, field, 8);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_fixup(b, 0x1000, type);
    b->fixups[0].parameter = parameter;
    pebuild_relocs(b);
    return test_image_make(b);
}

static void test_vectors(void **state)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vector *v = &vectors[i];
        struct test_image t = one_fixup(v->machine, v->type, v->parameter, v->before);
        struct reloc_plan plan;
        if (v->windows)
            t.mapped.windows = v->windows;
        print_message("%s\n", v->what);
        assert_int_equal(reloc_apply(&t.mapped, v->delta, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
        assert_int_equal(plan.fixups[v->type], 1);
        assert_memory_equal(t.bytes + 0x1000, v->after, 8);
        test_image_free(&t);
    }
}

/*
 * IA64_IMM64 before Windows 8: the bundle is the one that holds the RVA. The expected values are
 * those that a recorded program tells XP and Windows 7 apart by (behaviours, Relocations).
 */
static void test_ia64(void **state)
{
    static const struct {
        uint64_t from;
        int64_t delta;
        uint8_t after[16];
    } cases[] = {
        {0x400000, 0x20000, {0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0}},
        {0xffff0000,
         -0xfffe0000ll,
         {0x1f, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0x40, 0, 0x08}},
        {0x400000,
         -1,
         {0x1f, 0, 0, 0, 0, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0xf0, 0xf7, 0xff, 0x0f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t template[8] = {0x1f};
        struct test_image t = one_fixup(IMAGE_FILE_MACHINE_I386, 9, 0, template);
        struct reloc_plan plan;
        t.bytes[0x2008] |= 5; /* the low bits of the entry's offset */
        t.mapped.windows = PE_WINDOWS_7;
        t.mapped.h.image_base = cases[i].from;
        assert_int_equal(reloc_apply(&t.mapped, cases[i].delta, NULL, NULL, &plan, NULL), 0);
        assert_memory_equal(t.bytes + 0x1000, cases[i].after, 16);
        t.mapped.h.image_base = cases[i].from + (uint64_t)cases[i].delta;
        assert_int_equal(reloc_apply(&t.mapped, -cases[i].delta, NULL, NULL, &plan, NULL), 0);
        assert_memory_equal(t.bytes + 0x1000, template, 8);
        test_image_free(&t);
    }
}

/* ---- who takes what
 * ------------------------------------------------------------------------------ */

static void assert_types(uint16_t machine, enum pe_windows windows,
                         const uint8_t widths[RELOC_TYPE_COUNT])
{
    static const uint8_t zeroes[8];
    for (uint8_t type = 0; type < RELOC_TYPE_COUNT; type++) {
        struct test_image t = one_fixup(machine, type, 0, zeroes);
        struct reloc_plan plan;
        struct pe_error err = {0};
        nt_status expected =
            widths[type] == REFUSED ? (nt_status)STATUS_INVALID_IMAGE_FORMAT : STATUS_SUCCESS;
        uint64_t moved = t.file.h.image_base + 0x10000;
        t.file.windows = t.mapped.windows = windows;
        assert_int_equal(reloc_type_width(&t.file, type), widths[type]);
        assert_int_equal(reloc_plan(&t.file, moved, NULL, 0, &plan, &err), expected);
        assert_int_equal(plan.outcome, expected ? RELOC_REFUSED : RELOC_APPLIED);
        if (expected) {
            assert_string_equal(err.rule, "reloc.types");
            assert_non_null(strstr(err.text, reloc_type_name(machine, type)));
        }
        assert_int_equal(reloc_apply(&t.mapped, 0x10000, NULL, NULL, &plan, NULL), expected);
        test_image_free(&t);
    }
}

/* Windows 10 refuses everything but 0-4 and 10 on x86 and x64 (facts 2.3). */
static void test_types_of_machines(void **state)
{
    static const uint8_t common[RELOC_TYPE_COUNT] = {0,       2,       2,       4,       2, REFUSED,
                                                     REFUSED, REFUSED, REFUSED, REFUSED, 8, REFUSED,
                                                     REFUSED, REFUSED, REFUSED, REFUSED};
    uint8_t arm[RELOC_TYPE_COUNT];
    memcpy(arm, common, sizeof arm);
    arm[5] = arm[7] = 8;
    assert_types(IMAGE_FILE_MACHINE_I386, PE_WINDOWS_10, common);
    assert_types(IMAGE_FILE_MACHINE_AMD64, PE_WINDOWS_10, common);
    assert_types(IMAGE_FILE_MACHINE_ARM64, PE_WINDOWS_10, common);
    assert_types(IMAGE_FILE_MACHINE_RISCV64, PE_WINDOWS_10, common);
    assert_types(IMAGE_FILE_MACHINE_LOONGARCH64, PE_WINDOWS_10, common);
    assert_types(IMAGE_FILE_MACHINE_IA64, PE_WINDOWS_10, common);
    assert_types(0x1234, PE_WINDOWS_10, common);
    assert_types(IMAGE_FILE_MACHINE_ARM, PE_WINDOWS_10, arm);
    assert_types(IMAGE_FILE_MACHINE_THUMB, PE_WINDOWS_10, arm);
    assert_types(IMAGE_FILE_MACHINE_ARMNT, PE_WINDOWS_10, arm);
}

/* XP and 7 take all of 0-10 but 8, there alone (loader-rules, reloc.types). */
static void test_types_before_windows_8(void **state)
{
    static const uint8_t x86[RELOC_TYPE_COUNT] = {
        0, 2, 2, 4, 2, 4, 0, 0, REFUSED, 16, 8, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED};
    assert_types(IMAGE_FILE_MACHINE_I386, PE_WINDOWS_XP, x86);
    assert_types(IMAGE_FILE_MACHINE_I386, PE_WINDOWS_7, x86);
    assert_types(IMAGE_FILE_MACHINE_AMD64, PE_WINDOWS_XP, x86);
    assert_types(IMAGE_FILE_MACHINE_AMD64, PE_WINDOWS_7, x86);
}

static void test_names(void **state)
{
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_I386, 0), "ABSOLUTE");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_I386, 3), "HIGHLOW");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_AMD64, 10), "DIR64");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_I386, 5), "MIPS_JMPADDR");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_I386, 8), "TYPE_8");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_ARMNT, 5), "ARM_MOV32");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_ARMNT, 7), "THUMB_MOV32");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_R4000, 5), "MIPS_JMPADDR");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_RISCV64, 5), "RISCV_HIGH20");
    assert_string_equal(reloc_type_name(IMAGE_FILE_MACHINE_AMD64, 15), "TYPE_15");
}

/* ---- there and back
 * ------------------------------------------------------------------------------ */

/* Fixups at random places, none over another, of every type that the machine takes. */
static struct test_image random_image(uint16_t machine, enum pe_windows windows, uint32_t *seed)
{
    enum { DATA = 0x5000, SLOT = 16 };
    bool plus = machine == IMAGE_FILE_MACHINE_AMD64 || machine == IMAGE_FILE_MACHINE_ARM64;
    struct pebuild *b = pebuild_new(PEBUILD_DLL | (plus ? PEBUILD_PE32_PLUS : 0));
    const struct pe_image asked = {.windows = windows, .h.machine = machine};
    static uint8_t data[DATA];
    b->h.machine = machine;
    for (uint32_t i = 0; i < DATA; i++)
        data[i] = (uint8_t)test_random(seed);
    pebuild_section(b, ".data", PEBUILD_DATA, data, DATA, 0);
    for (uint32_t slot = 0; slot < DATA / SLOT; slot++) {
        uint8_t type = (uint8_t)(test_random(seed) % RELOC_TYPE_COUNT);
        uint8_t width = reloc_type_width(&asked, type);
        if (width == REFUSED)
            continue;
        pebuild_fixup(b, 0x1000 + slot * SLOT + test_random(seed) % (SLOT + 1u - width), type);
        /* Windows 10 does not give HIGHADJ back when the parameter is 0x8000 or more. */
        uint16_t mask = windows == PE_WINDOWS_10 ? 0x7fff : 0xffff;
        b->fixups[b->fixup_count - 1].parameter = (uint16_t)test_random(seed) & mask;
    }
    pebuild_relocs(b);
    struct test_image t = test_image_make(b);
    t.file.windows = t.mapped.windows = windows;
    return t;
}

static void restore_round(uint16_t machine, enum pe_windows windows, uint32_t *seed)
{
    struct test_image t = random_image(machine, windows, seed);
    struct reloc_plan planned, there, back;
    int64_t delta = ((int64_t)(test_random(seed) & 0xfff) - 0x800) * 0x10000;
    uint8_t *before = malloc(t.size);
    memcpy(before, t.bytes, t.size);
    if (delta == 0)
        delta = 0x10000;

    assert_int_equal(
        reloc_plan(&t.file, t.file.h.image_base + (uint64_t)delta, NULL, 0, &planned, NULL),
        STATUS_SUCCESS);
    assert_int_equal(reloc_apply(&t.mapped, delta, NULL, NULL, &there, NULL), STATUS_SUCCESS);
    assert_memory_equal(planned.fixups, there.fixups, sizeof planned.fixups);
    assert_int_equal(planned.fixups_total, there.fixups_total);
    assert_int_equal(planned.pages_dirtied, there.pages_dirtied);
    assert_true(there.fixups_total > 0);
    assert_memory_not_equal(before, t.bytes, t.size);
    assert_int_equal(reloc_apply(&t.mapped, -delta, NULL, NULL, &back, NULL), STATUS_SUCCESS);
    assert_memory_equal(before, t.bytes, t.size);
    assert_int_equal(back.pages_dirtied, there.pages_dirtied);
    free(before);
    test_image_free(&t);
}

/*
 * Every type is restored under a delta that is a multiple of 64 KiB, which every real one is. (The
 * halves HIGH and HIGHADJ lose what a smaller part of a delta carries; see types.c.)
 */
static void test_delta_and_back(void **state)
{
    static const uint16_t machines[] = {
        IMAGE_FILE_MACHINE_I386,  IMAGE_FILE_MACHINE_AMD64, IMAGE_FILE_MACHINE_ARM64,
        IMAGE_FILE_MACHINE_ARMNT, IMAGE_FILE_MACHINE_R4000, IMAGE_FILE_MACHINE_RISCV64,
    };
    uint32_t seed = 20;
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++)
        for (int round = 0; round < 50; round++)
            restore_round(machines[i], round % 2 ? PE_WINDOWS_7 : PE_WINDOWS_10, &seed);
}

/* The whole fields come back under any delta. */
static void test_whole_fields_invert_for_any_delta(void **state)
{
    static const uint8_t types[] = {2, 3, 5, 7, 10};
    uint32_t seed = 7;
    for (size_t i = 0; i < 100 * sizeof types; i++) {
        uint8_t field[8];
        for (int j = 0; j < 8; j++)
            field[j] = (uint8_t)test_random(&seed);
        struct test_image t =
            one_fixup(IMAGE_FILE_MACHINE_ARMNT, types[i % sizeof types], 0, field);
        struct reloc_plan plan;
        int64_t delta = (int64_t)test_random(&seed) + 1;
        assert_int_equal(reloc_apply(&t.mapped, delta, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
        assert_int_equal(reloc_apply(&t.mapped, -delta, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
        assert_memory_equal(t.bytes + 0x1000, field, 8);
        test_image_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_ia64),
        cmocka_unit_test(test_types_of_machines),
        cmocka_unit_test(test_types_before_windows_8),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_delta_and_back),
        cmocka_unit_test(test_whole_fields_invert_for_any_delta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
