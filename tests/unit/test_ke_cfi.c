/*
 * Unwinding native frames: against libgcc's own unwinder, registers of Windows's convention,
 * signal frames, DWARF expressions; and what a walk out of native code comes to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#include "loader/ke/cfi.h"
#include "loader/ke/ke.h"
#include "loader/ke/native.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/imagemap.h"
#include "tests/unit/graphimage.h"

#define NOINLINE __attribute__((noinline, noclone))

/* ---- frames as libgcc sees them ------------------------------------------------------------- */

enum { PRESERVED = KE_BY_WORD(6, 4), DEPTH = 64 };
/* Preserved registers: rbx rbp r12-r15; ebx ebp esi edi. */
static const uint8_t preserved[] = {3,
                                    KE_BY_WORD(6, 5),
                                    KE_BY_WORD(12, 6),
                                    KE_BY_WORD(13, 7),
                                    KE_BY_WORD(14, 0),
                                    KE_BY_WORD(15, 0)};

struct seen_frame {
    uintptr_t pc, sp, function, registers[PRESERVED];
};
struct seen {
    struct seen_frame frames[DEPTH];
    int count;
};

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *opaque)
{
    struct seen *seen = opaque;
    if (seen->count == DEPTH)
        return _URC_NORMAL_STOP;
    struct seen_frame *frame = &seen->frames[seen->count++];
    frame->pc = _Unwind_GetIP(context);
    frame->sp = _Unwind_GetCFA(context);
    frame->function = _Unwind_GetRegionStart(context);
    for (int i = 0; i < PRESERVED; i++)
        frame->registers[i] = _Unwind_GetGR(context, preserved[i]);
    return _URC_NO_REASON;
}

static struct seen libgcc, own;

/* Frames from the caller of this function outwards, by both unwinders. */
static NOINLINE void walk_both(void)
{
    struct ke_context context = {0};
    bool exact = true;
    libgcc.count = own.count = 0;
    _Unwind_Backtrace(note_frame, &libgcc);
    ke_capture_context(&context);
    uintptr_t function;
    while (own.count < DEPTH && ke_cfi_step(&context, &exact, &function)) {
        if (own.count)
            own.frames[own.count - 1].function = function;
        struct seen_frame *frame = &own.frames[own.count++];
        frame->pc = KE_CONTEXT_PC(&context);
        frame->sp = KE_CONTEXT_SP(&context);
        for (int i = 0; i < PRESERVED; i++)
            frame->registers[i] = *ke_cfi_column(&context, preserved[i]);
    }
}

static void compare_walks(int least)
{
    assert_true(own.count >= least);
    int first = 0; /* libgcc begins at walk_both itself */
    while (first < libgcc.count && libgcc.frames[first].pc != own.frames[0].pc)
        first++;
    for (int i = 0; i < own.count; i++) {
        const struct seen_frame *theirs = &libgcc.frames[first + i], *ours = &own.frames[i];
        assert_true(first + i < libgcc.count);
        assert_int_equal(ours->pc, theirs->pc);
        assert_int_equal(ours->sp, theirs->sp);
        assert_memory_equal(ours->registers, theirs->registers, sizeof(ours->registers));
        if (i + 1 < own.count)
            assert_int_equal(ours->function, theirs->function);
    }
    assert_true(libgcc.count - first - own.count <= 1); /* it notes the end itself, too */
}

static NOINLINE int by_comparison(const void *a, const void *b)
{
    if (!own.count)
        walk_both();
    return *(const int *)a - *(const int *)b;
}

static NOINLINE int sort(volatile int *of)
{
    int values[3] = {3, of[0], 1};
    qsort(values, 3, sizeof(values[0]), by_comparison);
    return values[0] + (int)of[1];
}

/* A frame of variable size has a frame pointer, an aligned one realigns. */
static NOINLINE int alloca_frame(volatile int *of)
{
    _Alignas(64) volatile char aligned[64] = {0};
    volatile char *variable = __builtin_alloca((size_t)of[0] * 32);
    variable[0] = aligned[0] = 1;
    return sort(of) + variable[0] + aligned[0];
}

static void frames_are_those_that_libgcc_finds(void **state)
{
    volatile int two[2] = {2, 2};
    own.count = 0;
    alloca_frame(two);
    compare_walks(6); /* by_comparison, qsort, sort, alloca_frame, this, cmocka, main */
}

static void on_signal(int number)
{
    walk_both();
}

static void a_signal_frame_leads_to_what_it_interrupted(void **state)
{
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
    compare_walks(5);
}

#ifdef __x86_64__
static struct ke_xmm found_xmm[16];
static uintptr_t found_in;

/* Stores something in the registers that its caller preserves, and looks what that one saved. */
static NOINLINE void clobber_and_walk(void)
{
    struct ke_context context = {0};
    bool exact = true;
    __asm__ volatile("pxor %%xmm6, %%xmm6\n pxor %%xmm15, %%xmm15" : : : "xmm6", "xmm15");
    ke_capture_context(&context);
    if (ke_cfi_step(&context, &exact, &found_in) && ke_cfi_step(&context, &exact, &found_in))
        memcpy(found_xmm, context.FltSave.XmmRegisters, sizeof(found_xmm));
}

static __attribute__((ms_abi, noinline)) int windows_function(int x)
{
    clobber_and_walk();
    return x + 1;
}

static void a_function_of_windows_convention_gives_back_xmm(void **state)
{
    __asm__ volatile("movq %0, %%xmm6\n movq %1, %%xmm15"
                     :
                     : "r"(0x1111222233334444), "r"(0x5555666677778888)
                     : "xmm6", "xmm15");
    windows_function(1);
    assert_int_equal(found_in, (uintptr_t)windows_function);
    assert_int_equal(found_xmm[6].low, 0x1111222233334444);
    assert_int_equal(found_xmm[15].low, 0x5555666677778888);
}
#endif

static void other_stacks_are_refused(void **state)
{
    struct ke_context context = {0}, before;
    uintptr_t function, *other = calloc(64, sizeof(*other));
    bool exact = true;
    ke_capture_context(&context);
    KE_CONTEXT_SP(&context) = (uintptr_t)other;
    before = context;
    assert_false(ke_cfi_step(&context, &exact, &function));
    assert_memory_equal(&context, &before, sizeof(context));
    free(other);
}

/* ---- call-frame information by hand --------------------------------------------------------- */

struct expression_case {
    const char *what;
    uint8_t bytes[16];
    bool valid;
    intptr_t result;
};

static void expressions_compute(void **state)
{
    static const struct expression_case cases[] = {
        {"lit31", {1, 0x4F}, true, 31},
        {"const1s -1", {2, 0x09, 0xFF}, true, -1},
        {"const2u", {3, 0x0A, 0x34, 0x12}, true, 0x1234},
        {"const4s", {5, 0x0D, 0xFE, 0xFF, 0xFF, 0xFF}, true, -2},
        {"constu 300", {3, 0x10, 0xAC, 0x02}, true, 300},
        {"consts -3", {2, 0x11, 0x7D}, true, -3},
        {"1 2 swap minus", {4, 0x31, 0x32, 0x16, 0x1C}, true, 1},
        {"1 2 3 rot: 3 1 2", {6, 0x31, 0x32, 0x33, 0x17, 0x1C, 0x1C}, true, 4},
        {"over", {5, 0x35, 0x32, 0x14, 0x1C, 0x22}, true, 2},
        {"pick 2", {6, 0x37, 0x30, 0x30, 0x15, 0x02, 0x22}, true, 7},
        {"dup mul", {3, 0x36, 0x12, 0x1E}, true, 36},
        {"-7 / 2", {4, 0x09, 0xF9, 0x32, 0x1B}, true, -3},
        {"7 mod 4", {3, 0x37, 0x34, 0x1D}, true, 3},
        {"neg not", {3, 0x35, 0x1F, 0x20}, true, 4},
        {"abs", {3, 0x09, 0xF0, 0x19}, true, 16},
        {"shl by a word", {4, 0x31, 0x08, 64, 0x24}, true, 0},
        {"-8 shra 1", {4, 0x09, 0xF8, 0x31, 0x26}, true, -4},
        {"3 and 6 or 8 xor 1", {7, 0x33, 0x36, 0x1A, 0x38, 0x21, 0x31, 0x27}, true, 11},
        {"-1 < 0", {4, 0x09, 0xFF, 0x30, 0x2D}, true, 1},
        {"ge", {3, 0x33, 0x34, 0x2A}, true, 0},
        {"plus_uconst", {3, 0x31, 0x23, 0x05}, true, 6},
        {"bra taken", {7, 0x33, 0x31, 0x28, 0x01, 0x00, 0x30, 0x96}, true, 3},
        {"bra not taken", {7, 0x33, 0x30, 0x28, 0x01, 0x00, 0x34, 0x96}, true, 4},
        {"skip", {5, 0x33, 0x2F, 0x01, 0x00, 0x34}, true, 3},
        {"empty", {0}, false, 0},
        {"underflow", {1, 0x22}, false, 0},
        {"division by zero", {3, 0x31, 0x30, 0x1B}, false, 0},
        {"endless loop", {4, 0x31, 0x2F, 0xFC, 0xFF}, false, 0},
        {"jump out", {4, 0x31, 0x2F, 0x7F, 0x00}, false, 0},
        {"truncated constant", {2, 0x0C, 0x01}, false, 0},
        {"unknown operation", {2, 0x31, 0x01}, false, 0},
        {"deref outside", {2, 0x31, 0x06}, false, 0},
        {"no such register", {3, 0x92, 0x7F, 0x00}, false, 0},
    };
    struct ke_context context = {0};
    struct cfi_frame frame = {&context, 0x1000, 0x1000};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uintptr_t value = 0;
        bool valid = ke_cfi_evaluate(&frame, cases[i].bytes, NULL, &value);
        if (valid != cases[i].valid || (valid && value != (uintptr_t)cases[i].result))
            fail_msg("%s: %d, %#zx", cases[i].what, valid, (size_t)value);
    }
}

static void expressions_read_registers_and_the_stack(void **state)
{
    uintptr_t stack[4] = {1, 2, 3, 4}, value, cfa = (uintptr_t)stack;
    struct ke_context context = {0};
    KE_CONTEXT_SP(&context) = (uintptr_t)stack;
    struct cfi_frame frame = {&context, (uintptr_t)stack, (uintptr_t)(stack + 4)};
    /* *(sp + 1 word) */
    uint8_t by_register[] = {3, 0x70 + CFI_SP, sizeof(uintptr_t), 0x06};
    assert_true(ke_cfi_evaluate(&frame, by_register, NULL, &value));
    assert_int_equal(value, 2);
    uint8_t by_cfa[] = {4, 0x23, 3 * sizeof(uintptr_t), 0x94, 1}; /* *(uint8_t *)(cfa + 3 words) */
    assert_true(ke_cfi_evaluate(&frame, by_cfa, &cfa, &value));
    assert_int_equal(value, 4);
    by_cfa[2]++, by_cfa[4] = sizeof(uintptr_t); /* past the end */
    assert_false(ke_cfi_evaluate(&frame, by_cfa, &cfa, &value));
}

/* A CIE and an FDE in one array: lengths are filled in. */
struct hand_made {
    uint32_t cie_length, cie_id;
    uint8_t cie[12];
    uint32_t fde_length, fde_cie;
    uintptr_t begin, range;
    uint8_t program[32];
} __attribute__((packed));

static void make(struct hand_made *out, const uint8_t *program, size_t length)
{
    /* version 1, no augmentation, alignments 1 and -8, CFA = sp + 8, pc saved at CFA - 8 */
    static const uint8_t cie[12] = {1, 0, 1, 0x78, CFI_PC, 0x0C, CFI_SP, 8, 0x80 | CFI_PC, 1};
    memset(out, 0, sizeof(*out));
    memcpy(out->cie, cie, sizeof(cie));
    memcpy(out->program, program, length);
    out->cie_length = 4 + sizeof(cie);
    out->fde_length = (uint32_t)(sizeof(*out) - offsetof(struct hand_made, fde_cie) -
                                 sizeof(out->program) + length);
    out->fde_cie = (uint32_t)offsetof(struct hand_made, fde_cie);
    out->begin = 0x1000, out->range = 0x100;
}

static bool run(const uint8_t *program, size_t length, uintptr_t offset, struct cfi_row *row)
{
    struct hand_made made;
    struct cfi_description description;
    make(&made, program, length);
    return ke_cfi_describe(&made.fde_length, &description) && ke_cfi_run(&description, offset, row);
}

static void instructions_make_rows(void **state)
{
    static const uint8_t program[] = {
        0x41,     0x0E, 0x10,       /* 1: CFA = sp + 16 */
        0x80 | 3, 2,                /* column 3 at CFA - 16 */
        0x02,     4,                /* 5: */
        0x0A,     0x0D, 5,          /* remember; CFA by column 5 */
        0x14,     2,    1,          /* column 2 is CFA - 8 */
        0x05,     1,    3,          /* column 1 at CFA - 24 */
        0x41,     0x0B,             /* 6: restore state */
        0xC0 | 3,                   /* column 3 as in the CIE: the same */
        0x04,     1,    0,    0, 0, /* 7: */
        0x09,     6,    7,          /* column 6 is in column 7 */
        0x2E,     16,               /* arguments: ignored */
    };
    struct cfi_row row;
    assert_true(run(program, sizeof(program), 0, &row));
    assert_int_equal(row.cfa_offset, 8);
    assert_int_equal(row.kinds[CFI_PC], CFI_AT_OFFSET);
    assert_int_equal(row.values[CFI_PC], -8);
    assert_true(run(program, sizeof(program), 4, &row));
    assert_int_equal(row.cfa_offset, 16);
    assert_int_equal(row.values[3], -16);
    assert_true(run(program, sizeof(program), 5, &row));
    assert_int_equal(row.cfa_column, 5);
    assert_int_equal(row.kinds[2], CFI_IS_OFFSET);
    assert_int_equal(row.values[1], -24);
    assert_true(run(program, sizeof(program), 6, &row));
    assert_int_equal(row.cfa_column, CFI_SP);
    assert_int_equal(row.kinds[2], CFI_SAME);
    assert_int_equal(row.kinds[3], CFI_SAME);
    assert_int_equal(row.kinds[6], CFI_SAME);
    assert_true(run(program, sizeof(program), 7, &row));
    assert_int_equal(row.kinds[6], CFI_IN_REGISTER);
    assert_int_equal(row.values[6], 7);
}

static void broken_programs_are_refused(void **state)
{
    static const uint8_t programs[][8] = {
        {0x0B},                         /* restores what was not remembered */
        {0x3F},                         /* unknown */
        {0x0E, 0x80, 0x80, 0x80, 0x80}, /* LEB without an end, below */
        {0x0F, 0x7F},                   /* an expression that is longer than the program */
        {0x0A, 0x0A, 0x0A, 0x0A, 0x0A}, /* remembers without end */
    };
    static const size_t lengths[] = {1, 1, 5, 2, 5};
    struct cfi_row row;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        assert_false(run(programs[i], lengths[i], 0, &row));
}

/* ---- what comes next ------------------------------------------------------------------------ */

static enum ke_native end;
static uintptr_t end_where, end_pc, end_sp;

static NOINLINE void walk_out(void)
{
    struct ke_context context = {0};
    ke_capture_context(&context);
    end = ke_native_skip(&context, true, &end_where);
    end_pc = KE_CONTEXT_PC(&context);
    end_sp = KE_CONTEXT_SP(&context);
}

static void skip_in_hook(char id, uint32_t reason)
{
    if (reason == 1)
        walk_out();
}

static void a_builtin_function_leads_to_the_image_that_called_it(void **state)
{
    struct ldr_image_range range;
    graph_write(&(struct graph_spec){.file = "calls.dll", .id = 'c'});
    graph_hook = skip_in_hook;
    struct ldr_module *calls = graph_must_load("calls.dll");
    graph_hook = NULL;
    assert_int_equal(end, KE_NATIVE_IMAGE);
    assert_int_equal(end_where, (uintptr_t)host_record);
    assert_true(ldr_image_at(end_pc, &range));
    /* behind the call through the IAT */
    assert_memory_equal((const uint8_t *)end_pc - 6, "\xFF\x15", 2);
    ldr_unload(calls, NULL);
    assert_false(ldr_image_at(end_pc, &range));
}

static NOINLINE uintptr_t WINAPI foreign(void)
{
    walk_out();
    return 1;
}

static void a_function_of_the_host_is_told_from_a_builtin_one(void **state)
{
#ifdef __x86_64__
    uint8_t code[] = {0x48, 0x83, 0xEC, 0x28,                           /* sub rsp, 0x28 */
                      0x48, 0xB8, 0,    0,    0,    0,    0,   0, 0, 0, /* mov rax, foreign */
                      0xFF, 0xD0, 0x48, 0x83, 0xC4, 0x28, 0xC3}; /* call; add rsp, 0x28; ret */
    enum { AT = 6 };
#else
    uint8_t code[] = {0xB8, 0, 0, 0, 0, 0xFF, 0xD0, 0xC2, 0x0C, 0}; /* mov eax; call eax; ret 12 */
    enum { AT = 1 };
#endif
    uintptr_t function = (uintptr_t)foreign;
    memcpy(code + AT, &function, sizeof(function));
    graph_write(&(struct graph_spec){.file = "host.dll", .code = code, .code_size = sizeof(code)});
    struct ldr_module *module = graph_must_load("host.dll");
    assert_int_equal(end, KE_NATIVE_HOST);
    assert_int_equal(end_where, function);
    ldr_unload(module, NULL);
}

static uintptr_t WINAPI_DEF gate_function(uintptr_t a, uintptr_t b, uintptr_t c)
{
    walk_out();
    struct ke_context context = {0};
    ke_capture_context(&context);
    ke_native_leave_gate(ldr_gate_current(), &context);
    uintptr_t *out = (uintptr_t *)a;
    out[0] = KE_CONTEXT_PC(&context);
    out[1] = KE_CONTEXT_SP(&context);
    bool exact = false;
    uintptr_t function;
    ke_cfi_step(&context, &exact, &function); /* out of ldr_gate_run() */
    out[2] = KE_CONTEXT_PC(&context);
    return 1;
}

static void the_innermost_gate_ends_a_walk(void **state)
{
    uintptr_t out[3] = {0}, here = (uintptr_t)the_innermost_gate_ends_a_walk;
    struct ldr_gate gate = {.kind = LDR_GATE_GUARD};
    ldr_gate_run(&gate, (uintptr_t)gate_function, (uintptr_t)out, 0, 0);
    assert_int_equal(end, KE_NATIVE_GATE);
    assert_in_range(end_sp, gate.low + 1, gate.low + 64);
    assert_in_range(out[0], (uintptr_t)ldr_gate_run, (uintptr_t)ldr_gate_run + 0x400);
    assert_in_range(out[1], end_sp, (uintptr_t)out + 4096);
    assert_in_range(out[2], here, here + 0x1000);
    walk_out();
    assert_int_equal(end, KE_NATIVE_BOTTOM);
}

/* A stub that keeps the stack aligned and calls what it is given. */
void test_stub(void (*function)(void));
__asm__(".pushsection " KE_STUB_SECTION_ASM "\n"
        ".globl test_stub\n"
        ".type test_stub, @function\n"
        "test_stub:\n"
#ifdef __x86_64__
        "    sub $8, %rsp\n"
        "    call *%rdi\n"
        "    add $8, %rsp\n"
#else
        "    mov 4(%esp), %eax\n"
        "    sub $12, %esp\n"
        "    call *%eax\n"
        "    add $12, %esp\n"
#endif
        "    ret\n"
        ".size test_stub, . - test_stub\n"
        ".popsection\n");

static void a_stub_ends_a_walk(void **state)
{
    test_stub(walk_out);
    assert_int_equal(end, KE_NATIVE_STUB);
    assert_true(ke_is_stub(end_pc));
    assert_in_range(end_pc, (uintptr_t)test_stub, (uintptr_t)test_stub + 32);
    assert_false(ke_is_stub((uintptr_t)walk_out));
    assert_true(ke_is_builtin((uintptr_t)host_record));
    assert_false(ke_is_builtin((uintptr_t)foreign));
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
        cmocka_unit_test(frames_are_those_that_libgcc_finds),
        cmocka_unit_test(a_signal_frame_leads_to_what_it_interrupted),
#ifdef __x86_64__
        cmocka_unit_test(a_function_of_windows_convention_gives_back_xmm),
#endif
        cmocka_unit_test(other_stacks_are_refused),
        cmocka_unit_test(expressions_compute),
        cmocka_unit_test(expressions_read_registers_and_the_stack),
        cmocka_unit_test(instructions_make_rows),
        cmocka_unit_test(broken_programs_are_refused),
        cmocka_unit_test(a_builtin_function_leads_to_the_image_that_called_it),
        cmocka_unit_test(a_function_of_the_host_is_told_from_a_builtin_one),
        cmocka_unit_test(the_innermost_gate_ends_a_walk),
        cmocka_unit_test(a_stub_ends_a_walk),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
