/*
 * Undoing frames of x86-64: every unwind code, prologues and epilogues half-way through, tables
 * that make no sense, and where tables are found. Functions are bytes in an array; the stack is one
 * whose words say which they are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "loader/ke/unwind.h"
#include "tests/unit/graphimage.h"

#ifdef __x86_64__

enum {
    CODE = 0x100, /* of the function, as offsets into the "image" */
    CODE_SIZE = 0x40,
    INFO = 0x200,
    INFO_2 = 0x280,
    HANDLER = 0x300,
    STACK_WORDS = 128,
    SP = 8, /* the word that rsp points to at first */
};
#define WORD(i) (0x100000u + (i))

static uint8_t image[0x1000] __attribute__((aligned(16)));
static uint64_t stack[STACK_WORDS] __attribute__((aligned(16)));

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12 };

struct row {
    const char *name;
    uint8_t info[24], code[12], second[12];
    uint8_t pc;            /* in the function */
    uint8_t rbp;           /* word that rbp points to; 0 = it does not */
    uint8_t ip, sp, frame; /* words: where the return address was, rsp afterwards, establisher */
    uint8_t number, word;  /* a register and where it was saved; 0 = none */
    bool no_handler;       /* in a prologue or epilogue */
};

/* Version 1 with both kinds of handler, as a header byte; and without. */
#define V1       0x19
#define V1_PLAIN 0x01
#define V1_CHAIN 0x21
#define V2       0x1A

static const struct row rows[] = {
    {"push", {V1, 1, 1, 0, 1, 0x30}, .pc = 16, .ip = 9, .sp = 10, .frame = 8, RBX, 8},
    {"push r12", {V1, 2, 1, 0, 2, 0xC0}, .pc = 2, .ip = 9, .sp = 10, .frame = 8, R12, 8},
    {"small", {V1, 4, 1, 0, 4, 0x42}, .pc = 16, .ip = 13, .sp = 14, .frame = 8},
    {"large", {V1, 7, 2, 0, 7, 0x01, 0x10, 0}, .pc = 16, .ip = 24, .sp = 25, .frame = 8},
    {"larger", {V1, 7, 3, 0, 7, 0x11, 0x88, 0}, .pc = 16, .ip = 25, .sp = 26, .frame = 8},
    {"save",
     {V1, 9, 3, 0, 9, 0x64, 2, 0, 4, 0x42},
     .pc = 16,
     .ip = 13,
     .sp = 14,
     .frame = 8,
     RSI,
     10},
    {"save far",
     {V1, 9, 4, 0, 9, 0x75, 0x18, 0, 0, 0, 4, 0x42},
     .pc = 16,
     .ip = 13,
     .sp = 14,
     .frame = 8,
     RDI,
     11},
    {"frame register",
     {V1, 10, 3, 0x25, 10, 0x03, 5, 0x32, 1, 0x50},
     .pc = 16,
     .rbp = 24,
     .ip = 25,
     .sp = 26,
     .frame = 20,
     RBP,
     24},
    {"save by the frame register",
     {V1, 14, 5, 0x25, 14, 0x64, 1, 0, 10, 0x03, 5, 0x32, 1, 0x50},
     .pc = 16,
     .rbp = 24,
     .ip = 25,
     .sp = 26,
     .frame = 20,
     RSI,
     21},
    {"before the frame register is set",
     {V1, 10, 3, 0x25, 10, 0x03, 5, 0x32, 1, 0x50},
     .pc = 5,
     .rbp = 40,
     .ip = 13,
     .sp = 14,
     .frame = 8,
     RBP,
     12,
     true},
    {"inside the prologue",
     {V1, 5, 2, 0, 5, 0x42, 1, 0x30},
     .pc = 1,
     .ip = 9,
     .sp = 10,
     .frame = 8,
     RBX,
     8,
     true},
    {"at the begin",
     {V1, 5, 2, 0, 5, 0x42, 1, 0x30},
     .ip = 8,
     .sp = 9,
     .frame = 8,
     .no_handler = true},
    {"chained",
     {V1_CHAIN,
      0,
      2,
      0,
      0,
      0x64,
      1,
      0,
      CODE & 0xFF,
      CODE >> 8,
      0,
      0,
      CODE + CODE_SIZE - 0x100,
      1,
      0,
      0,
      INFO_2 & 0xFF,
      INFO_2 >> 8,
      0,
      0},
     .second = {V1, 4, 1, 0, 4, 0x42},
     .pc = 16,
     .ip = 13,
     .sp = 14,
     .frame = 8,
     RSI,
     9},
    {"add and pop",
     {V1, 5, 2, 0, 5, 0x42, 1, 0x30},
     {0x48, 0x83, 0xC4, 0x28, 0x5B, 0xC3},
     .pc = 16,
     .ip = 14,
     .sp = 15,
     .frame = 8,
     RBX,
     13,
     true},
    {"add of 32 bits",
     {V1, 5, 1, 0, 5, 0x42},
     {0x48, 0x81, 0xC4, 0x10, 0, 0, 0, 0xC3},
     .pc = 16,
     .ip = 10,
     .sp = 11,
     .frame = 8,
     .no_handler = true},
    {"pops",
     {V1, 5, 2, 0, 5, 0x42, 1, 0x30},
     {0x41, 0x5C, 0x5B, 0xF3, 0xC3},
     .pc = 16,
     .ip = 10,
     .sp = 11,
     .frame = 8,
     R12,
     8,
     true},
    {"lea",
     {V1, 5, 2, 0x05, 5, 0x03, 1, 0x50},
     {0x48, 0x8D, 0x65, 0x08, 0x5D, 0xC3},
     .pc = 16,
     .rbp = 30,
     .ip = 32,
     .sp = 33,
     .frame = 30,
     RBP,
     31,
     true},
    {"ret n",
     {V1, 5, 1, 0, 5, 0x42},
     {0xC2, 0x10, 0},
     .pc = 16,
     .ip = 8,
     .sp = 11,
     .frame = 8,
     .no_handler = true},
    {"tail call",
     {V1, 5, 1, 0, 5, 0x42},
     {0xE9, 0, 2, 0, 0},
     .pc = 16,
     .ip = 8,
     .sp = 9,
     .frame = 8,
     .no_handler = true},
    {"tail call through memory",
     {V1, 5, 1, 0, 5, 0x42},
     {0x48, 0xFF, 0x25, 0, 0, 0, 0},
     .pc = 16,
     .ip = 8,
     .sp = 9,
     .frame = 8,
     .no_handler = true},
    {"tail call through a register",
     {V1, 5, 1, 0, 5, 0x42},
     {0x48, 0xFF, 0xE0},
     .pc = 16,
     .ip = 8,
     .sp = 9,
     .frame = 8,
     .no_handler = true},
    {"a jump inside",
     {V1, 5, 1, 0, 5, 0x42},
     {0xEB, 0x10},
     .pc = 16,
     .ip = 13,
     .sp = 14,
     .frame = 8},
    {"a jump through a table",
     {V1, 5, 1, 0, 5, 0x42},
     {0xFF, 0xE0},
     .pc = 16,
     .ip = 13,
     .sp = 14,
     .frame = 8},
    {"a pop in the middle",
     {V1, 5, 1, 0, 5, 0x42},
     {0x5B, 0x90, 0xC3},
     .pc = 16,
     .ip = 13,
     .sp = 14,
     .frame = 8},
    {"listed epilogue", /* 2 bytes, 0x30 before the end: at 0x10 */
     {V2, 5, 4, 0, 2, 0x06, 0x30, 0x06, 5, 0x42, 1, 0x30},
     {0x5B, 0xC3},
     .pc = 16,
     .ip = 9,
     .sp = 10,
     .frame = 8,
     RBX,
     8,
     true},
    {"not a listed epilogue",
     {V2, 5, 4, 0, 2, 0x16, 0, 0x06, 5, 0x42, 1, 0x30},
     {0x5B, 0xC3},
     .pc = 16,
     .ip = 14,
     .sp = 15,
     .frame = 8,
     RBX,
     13},
};

static void reset(struct ke_context *context)
{
    memset(image, 0x90, sizeof(image));
    memset(context, 0, sizeof(*context));
    for (unsigned i = 0; i < STACK_WORDS; i++)
        stack[i] = WORD(i);
    context->Rsp = (uintptr_t)&stack[SP];
}

static struct ke_runtime_function *function_entry(void)
{
    static struct ke_runtime_function entry;
    entry = (struct ke_runtime_function){CODE, CODE + CODE_SIZE, INFO};
    return &entry;
}

static ke_language_handler unwind_at(struct ke_context *context, unsigned pc, uint64_t *frame)
{
    void *data;
    return ke_virtual_unwind(KE_UNW_FLAG_EHANDLER, (uintptr_t)image, (uintptr_t)image + CODE + pc,
                             function_entry(), context, &data, frame, NULL);
}

/* Behind the codes of a version's header there is the handler. */
static void put_handler(uint8_t *info)
{
    uint32_t rva = HANDLER;
    if (info[0] & 0x18)
        memcpy(info + 4 + (info[2] + 1u) / 2 * 4, &rva, sizeof(rva));
}

static void check_row(const struct row *row)
{
    struct ke_context context;
    uint64_t frame = 0;
    reset(&context);
    memcpy(image + INFO, row->info, sizeof(row->info));
    memcpy(image + INFO_2, row->second, sizeof(row->second));
    put_handler(image + INFO);
    put_handler(image + INFO_2);
    if (row->code[0])
        memcpy(image + CODE + row->pc, row->code, sizeof(row->code));
    if (row->rbp)
        context.Rbp = (uintptr_t)&stack[row->rbp];
    ke_language_handler handler = unwind_at(&context, row->pc, &frame);
    print_message("%s\n", row->name);
    assert_int_equal(context.Rip, WORD(row->ip));
    assert_int_equal((context.Rsp - (uintptr_t)stack) / 8, row->sp);
    assert_int_equal((frame - (uintptr_t)stack) / 8, row->frame);
    if (row->number)
        assert_int_equal((&context.Rax)[row->number], WORD(row->word));
    assert_ptr_equal(handler, row->no_handler ? NULL : image + HANDLER);
}

static void every_code_is_undone(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_row(&rows[i]);
}

static void xmm_registers_come_back(void **state)
{
    static const uint8_t info[] = {V1_PLAIN, 14,   6,    0, 14, 0x68, 1, 0,
                                   9,        0x79, 0x20, 0, 0,  0,    4, 0x72};
    struct ke_context context;
    struct ke_context_pointers pointers = {0};
    uint64_t frame;
    void *data;
    reset(&context);
    memcpy(image + INFO, info, sizeof(info));
    ke_virtual_unwind(0, (uintptr_t)image, (uintptr_t)image + CODE + 16, function_entry(), &context,
                      &data, &frame, &pointers);
    assert_int_equal(context.FltSave.XmmRegisters[6].low, WORD(10));
    assert_int_equal(context.FltSave.XmmRegisters[6].high, WORD(11));
    assert_int_equal(context.FltSave.XmmRegisters[7].low, WORD(12));
    assert_ptr_equal(pointers.Xmm[7], &stack[12]);
    assert_null(pointers.Xmm[8]);
    assert_int_equal(context.Rip, WORD(16));
}

static void machine_frames_give_both(void **state)
{
    for (unsigned error_code = 0; error_code < 2; error_code++) {
        uint8_t info[] = {V1_PLAIN, 0, 1, 0, 0, (uint8_t)(error_code << 4 | 0xA)};
        struct ke_context context;
        uint64_t frame;
        reset(&context);
        memcpy(image + INFO, info, sizeof(info));
        unwind_at(&context, 16, &frame);
        assert_int_equal(context.Rip, WORD(8 + error_code));
        assert_int_equal(context.Rsp, WORD(11 + error_code));
    }
}

static void a_leaf_has_its_return_address_on_top(void **state)
{
    struct ke_context context;
    uint64_t frame;
    void *data;
    reset(&context);
    ke_virtual_unwind(0, 0, 0x1234, NULL, &context, &data, &frame, NULL);
    assert_int_equal(context.Rip, WORD(8));
    assert_ptr_equal(context.Rsp, &stack[9]);
}

static void tables_that_make_no_sense_end_the_walk(void **state)
{
    static const uint8_t bad[][20] = {
        {0x03, 0, 0, 0},                    /* version */
        {V1_PLAIN, 1, 1, 0, 1, 0x0B},       /* no such code */
        {V1_PLAIN, 1, 1, 0, 1, 0x01},       /* the operand is missing */
        {V1_PLAIN, 1, 2, 0, 1, 0x21, 0, 0}, /* no such size */
        {V1_PLAIN, 1, 1, 0, 1, 0x2A},       /* no such machine frame */
        {V1_CHAIN, 0, 0, 0, CODE & 0xFF, CODE >> 8, 0, 0, CODE + CODE_SIZE - 0x100, 1, 0, 0,
         INFO & 0xFF, INFO >> 8, 0, 0}, /* linked to itself */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ke_context context;
        uint64_t frame;
        reset(&context);
        memcpy(image + INFO, bad[i], sizeof(bad[i]));
        context.Rip = 1;
        assert_null(unwind_at(&context, 16, &frame));
        assert_int_equal(context.Rip, 0);
    }
}

static void memory_that_is_not_there_ends_the_walk(void **state)
{
    static const uint8_t info[] = {V1_PLAIN, 1, 1, 0, 1, 0x30};
    struct ke_context context;
    uint64_t frame;
    void *data;
    ke_fault_install(); /* cmocka has put its own handler in front */
    reset(&context);
    memcpy(image + INFO, info, sizeof(info));
    context.Rsp = 16;
    unwind_at(&context, 16, &frame);
    assert_int_equal(context.Rip, 0);
    reset(&context);
    struct ke_runtime_function entry = {CODE, CODE + CODE_SIZE, 0x7FFFFFF0};
    context.Rip = 1;
    ke_virtual_unwind(0, 0x10000, 0x10000 + CODE, &entry, &context, &data, &frame, NULL);
    assert_int_equal(context.Rip, 0);
    context.Rip = 1;
    ke_virtual_unwind(0, 0x10000, 0x10000, (void *)8, &context, &data, &frame, NULL);
    assert_int_equal(context.Rip, 0);
}

/* ---- tables -----------------------------------------------------------------------------------
 */

static const void *lookup(uint64_t offset, uint64_t *base)
{
    return ke_lookup_function_entry((uintptr_t)image + offset, base, NULL);
}

static void tables_of_programs_are_searched(void **state)
{
    struct ke_runtime_function sorted[] = {{0x100, 0x110, 0}, {0x110, 0x120, 0}, {0x200, 0x210, 0}},
                               mixed[] = {{0x300, 0x310, 0}, {0x280, 0x290, 0}};
    uint64_t base;
    assert_null(lookup(0x100, &base));
    assert_int_equal(base, 0);
    assert_true(ke_add_function_table(sorted, 3, (uintptr_t)image));
    assert_true(ke_add_function_table(mixed, 2, (uintptr_t)image));
    assert_ptr_equal(lookup(0x100, &base), &sorted[0]);
    assert_ptr_equal(base, image);
    assert_ptr_equal(lookup(0x11F, &base), &sorted[1]);
    assert_null(lookup(0x120, &base));
    assert_ptr_equal(lookup(0x28F, &base), &mixed[1]);
    assert_true(ke_delete_function_table(sorted));
    assert_false(ke_delete_function_table(sorted));
    assert_null(lookup(0x100, &base));
    assert_ptr_equal(lookup(0x300, &base), &mixed[0]);
    assert_true(ke_delete_function_table(mixed));
}

static void growable_tables_grow(void **state)
{
    struct ke_runtime_function table[] = {{0x100, 0x110, 0}, {0x110, 0x120, 0}};
    uint64_t base;
    void *handle;
    assert_int_equal(ke_add_growable_function_table(&handle, table, 1, 2, (uintptr_t)image,
                                                    (uintptr_t)image + sizeof(image)),
                     0);
    assert_ptr_equal(lookup(0x100, &base), &table[0]);
    assert_null(lookup(0x110, &base));
    ke_grow_function_table(handle, 2);
    assert_ptr_equal(lookup(0x110, &base), &table[1]);
    ke_grow_function_table(handle, 3); /* more than there is room for */
    assert_ptr_equal(lookup(0x110, &base), &table[1]);
    ke_delete_growable_function_table(handle);
    assert_null(lookup(0x100, &base));
    assert_int_not_equal(ke_add_growable_function_table(&handle, table, 3, 2, 1, 2), 0);
}

static struct ke_runtime_function made_by_callback = {0x100, 0x200, 0};

static struct ke_runtime_function *WINAPI_DEF make_entry(uint64_t pc, void *context)
{
    *(uint64_t *)context = pc;
    return &made_by_callback;
}

static void callbacks_make_entries(void **state)
{
    uint64_t base, asked = 0, identifier = (uintptr_t)image | 3;
    assert_false(ke_install_function_table_callback((uintptr_t)image, (uintptr_t)image, 0x400,
                                                    make_entry, &asked, NULL));
    assert_true(ke_install_function_table_callback(identifier, (uintptr_t)image, 0x400, make_entry,
                                                   &asked, NULL));
    assert_ptr_equal(lookup(0x3FF, &base), &made_by_callback);
    assert_ptr_equal(asked, image + 0x3FF);
    assert_null(lookup(0x400, &base));
    assert_true(ke_delete_function_table((void *)identifier));
    assert_null(lookup(0x3FF, &base));
}

/* ---- images -----------------------------------------------------------------------------------
 */

static void tables_of_images_stay_inside(void **state)
{
    /* A function, one whose entry is elsewhere, and three with information that is not inside. */
    struct ke_runtime_function table[] = {{0x10, 0x11, 0},
                                          {0x20, 0x21, 0},
                                          {0x30, 0x31, 0x7000},
                                          {0x40, 0x41, 0xFFFFFFF0},
                                          {0x50, 0x51, 0x80000001}};
    static const uint8_t info[] = {V1_PLAIN, 0, 0, 0};
    struct pebuild *b = graph_builder(&(struct graph_spec){.file = "tables.dll"}, NULL);
    struct pebuild_buffer data = pebuild_buffer(b);
    table[0].UnwindData = pebuild_bytes(&data, info, sizeof(info));
    struct ke_runtime_function elsewhere = table[0];
    elsewhere.BeginAddress = 0x20;
    elsewhere.EndAddress = 0x21;
    uint32_t other = pebuild_bytes(&data, &elsewhere, sizeof(elsewhere));
    table[1].UnwindData = other | 1;
    uint32_t at = pebuild_bytes(&data, table, sizeof(table));
    pebuild_buffer_section(&data, ".pdata", PEBUILD_RDATA);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, at, sizeof(table));
    assert_true(pebuild_finish_file(b, tempdir_path("tables.dll")));
    struct ldr_module *module = graph_must_load("tables.dll");
    assert_non_null(module);
    uintptr_t base = (uintptr_t)ldr_module_base(module);
    const uintptr_t expected[] = {base + at, base + other, base + at + 24, base + at + 36, 0};
    for (uint32_t i = 0; i < 5; i++) {
        struct ke_context context;
        uint64_t found_base, frame;
        void *handler_data;
        const struct ke_runtime_function *entry =
            ke_lookup_function_entry(base + 0x10 + i * 0x10, &found_base, NULL);
        assert_ptr_equal(entry, expected[i]);
        assert_ptr_equal(found_base, base);
        reset(&context);
        if (entry)
            ke_virtual_unwind(0, base, base + 0x10 + i * 0x10, entry, &context, &handler_data,
                              &frame, NULL);
        assert_int_equal(context.Rip, i < 2 ? WORD(8) : 0);
    }
    ldr_unload(module, NULL);
}

static int set_up(void **state)
{
    return tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL));
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_undone),
        cmocka_unit_test(xmm_registers_come_back),
        cmocka_unit_test(machine_frames_give_both),
        cmocka_unit_test(a_leaf_has_its_return_address_on_top),
        cmocka_unit_test(tables_that_make_no_sense_end_the_walk),
        cmocka_unit_test(memory_that_is_not_there_ends_the_walk),
        cmocka_unit_test(tables_of_programs_are_searched),
        cmocka_unit_test(growable_tables_grow),
        cmocka_unit_test(callbacks_make_entries),
        cmocka_unit_test(tables_of_images_stay_inside),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

/* i386 has no function tables; its frames are a chain (test_ke_chain.c). */
int main(void)
{
    return 77; /* skipped */
}

#endif
