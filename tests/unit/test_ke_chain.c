/*
 * The chain of i386 frames: order, dispositions, nested exceptions, unwinding, broken chains.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/ke/chain.h"
#include "loader/ke/ke.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/ldr.h"
#include "loader/stack.h"
#include "tests/pebuild.h"

static char order[64];
static uint32_t flags_seen[64];

static int attach_once(void **state)
{
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

/* A frame of the test: its handler follows `answers`. */
struct frame {
    struct ke_registration header;
    char name;
    enum ke_disposition answer;       /* to an exception */
    struct ke_registration *unwinder; /* unwinds to it once ... */
    jmp_buf *resume;                  /* ... and goes on there */
    bool raises;                      /* another exception in between, once */
    uint32_t unwind_raises;           /* one while unwinding, once */
};

static void note(char c, uint32_t flags)
{
    size_t length = strlen(order);
    if (length + 1 < sizeof(order)) {
        flags_seen[length] = flags;
        order[length] = c;
        order[length + 1] = 0;
    }
}

static void unwind(struct ke_registration *target, struct ke_exception_record *record)
{
    struct ke_context context = {0};
    ke_capture_context(&context);
    ke_unwind_frames(target, record, &context);
}

STACK_JUMPER static enum ke_disposition WINCDECL_DEF handle(struct ke_exception_record *record,
                                                            struct ke_registration *registration,
                                                            struct ke_context *context,
                                                            struct ke_registration **dispatcher)
{
    struct frame *frame = (struct frame *)registration;
    if (record->ExceptionFlags & KE_EXCEPTION_UNWIND) {
        note(frame->name + 'a' - 'A', record->ExceptionFlags);
        uint32_t code = frame->unwind_raises;
        frame->unwind_raises = 0;
        if (code)
            ke_raise(code, 0, 0, NULL);
        return KE_DISPOSITION_CONTINUE_SEARCH;
    }
    note(frame->name, record->ExceptionFlags);
    if (frame->raises) {
        frame->raises = false;
        ke_raise(0xE0000002, 0, 0, NULL);
    }
    if (frame->unwinder) {
        struct ke_registration *target = frame->unwinder;
        frame->unwinder = NULL;
        unwind(target, record);
        note('!', 0);
        longjmp(*frame->resume, 1);
    }
    return frame->answer;
}

STACK_JUMPER static void push(struct frame *frame, char name, enum ke_disposition answer)
{
    *frame =
        (struct frame){.header = {ke_teb()->ExceptionList, handle}, .name = name, .answer = answer};
    ke_teb()->ExceptionList = &frame->header;
}

/* A at the highest address. */
STACK_JUMPER static void push_all(struct frame *at, unsigned count, enum ke_disposition answer)
{
    memset(flags_seen, 0, sizeof(flags_seen));
    order[0] = 0;
    ke_teb()->ExceptionList = KE_CHAIN_END;
    for (unsigned i = 0; i < count; i++)
        push(&at[count - 1 - i], (char)('A' + i), answer);
}

static enum ke_search search(struct ke_exception_record *record)
{
    struct ke_context context = {0};
    uintptr_t where = 0;
    ke_capture_context(&context);
    return ke_search_frames(record, &context, &where);
}

STACK_JUMPER static void handlers_are_asked_from_the_innermost_outwards(void **state)
{
    struct frame at[3];
    struct ke_exception_record record = {.ExceptionCode = 0xE0000001};
    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    assert_int_equal(search(&record), KE_SEARCH_BOTTOM);
    assert_string_equal(order, "CBA");
    assert_int_equal(record.ExceptionFlags, 0);

    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    at[1].answer = KE_DISPOSITION_CONTINUE_EXECUTION;
    assert_int_equal(search(&record), KE_SEARCH_CONTINUE);
    assert_string_equal(order, "CB");
    ke_raise(0xE0000001, 0, 0, NULL); /* comes back */
    assert_string_equal(order, "CBCB");
    assert_ptr_equal(ke_teb()->ExceptionList, &at[0]);
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

STACK_JUMPER static void a_frame_unwinds_to_itself(void **state)
{
    struct frame at[3];
    jmp_buf resume;
    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    at[2].unwinder = &at[2].header; /* A */
    at[2].resume = &resume;
    if (setjmp(resume) == 0) {
        ke_raise(0xE0000001, 0, 0, NULL);
        fail();
    }
    assert_string_equal(order, "CBAcb!");
    assert_int_equal(flags_seen[3], KE_EXCEPTION_UNWINDING);
    assert_ptr_equal(ke_teb()->ExceptionList, &at[2]);
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

STACK_JUMPER static void an_exception_in_a_handler_is_nested(void **state)
{
    struct frame at[3];
    jmp_buf resume;
    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    at[1].raises = true; /* B */
    at[2].unwinder = &at[2].header;
    at[2].resume = &resume;
    if (setjmp(resume) == 0) {
        ke_raise(0xE0000001, 0, 0, NULL);
        fail();
    }
    assert_string_equal(order, "CBCBAcb!");
    assert_int_equal(flags_seen[2], KE_EXCEPTION_NESTED_CALL); /* C lies inside the nesting */
    assert_int_equal(flags_seen[3], KE_EXCEPTION_NESTED_CALL); /* B is the frame itself */
    assert_int_equal(flags_seen[4], 0);
    assert_ptr_equal(ke_teb()->ExceptionList, &at[2]);
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

/* B unwinds to itself; while C is unwound for that it raises, and A takes the second exception:
 * C has been called already then, B has not. */
STACK_JUMPER static void an_unwind_takes_over_another(void **state)
{
    struct frame at[3];
    jmp_buf lost, resume;
    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    at[0].unwind_raises = 0xE0000003;
    at[1].unwinder = &at[1].header;
    at[1].resume = &lost;
    at[2].unwinder = &at[2].header;
    at[2].resume = &resume;
    if (setjmp(lost) != 0)
        fail();
    if (setjmp(resume) == 0) {
        ke_raise(0xE0000001, 0, 0, NULL);
        fail();
    }
    assert_string_equal(order, "CBcCBAb!");
    assert_int_equal(flags_seen[4], 0); /* the unwind has ended the call of B */
    assert_ptr_equal(ke_teb()->ExceptionList, &at[2]);
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

/* The first exception's answer is what the chain says; of a broken one there is none. */
STACK_JUMPER static void a_broken_chain_ends_the_search(void **state)
{
    static struct frame off_stack;
    struct frame at[3];
    const struct {
        uintptr_t next;
        const char *order;
    } broken[] = {
        {(uintptr_t)&at[2] + 1, "CB"},
        {(uintptr_t)&at[0], "CB"}, /* a loop */
        {(uintptr_t)&at[1], "CB"},
        {(uintptr_t)&off_stack, "CB"},
        {0, "CB"},
        {0x41414140, "CB"},
        {(uintptr_t)ke_teb()->StackBase - 4, "CB"},
    };
    push(&off_stack, 'X', KE_DISPOSITION_CONTINUE_SEARCH);
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        struct ke_exception_record record = {.ExceptionCode = 0xE0000001};
        push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
        at[1].header.Next = (struct ke_registration *)broken[i].next;
        assert_int_equal(search(&record), KE_SEARCH_BOTTOM);
        assert_string_equal(order, broken[i].order);
        assert_int_equal(record.ExceptionFlags, KE_EXCEPTION_STACK_INVALID);
    }
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

STACK_JUMPER static void handlers_that_cannot_be_called_are_not(void **state)
{
    struct frame at[2];
    static uint8_t data[16] = {1};
    uint8_t code_on_stack[16] = {0xC3};
    const uintptr_t bad[] = {0, 0x1000, (uintptr_t)code_on_stack, UINTPTR_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct ke_exception_record record = {.ExceptionCode = 0xE0000001};
        push_all(at, 2, KE_DISPOSITION_CONTINUE_SEARCH);
        at[1].header.Handler = (ke_frame_handler)bad[i];
        assert_int_equal(search(&record), KE_SEARCH_BOTTOM);
        assert_string_equal(order, "B");
        assert_int_equal(record.ExceptionFlags, KE_EXCEPTION_STACK_INVALID);
    }
    /* No program with NX_COMPAT is there. */
    assert_true(ke_frame_handler_allowed((uintptr_t)data));
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

/* C unwinds to what is no frame; the exception that comes of it is A's. */
STACK_JUMPER static void an_unwind_needs_a_target_in_the_chain(void **state)
{
    struct frame at[3];
    jmp_buf resume, lost;
    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    at[2].unwinder = &at[2].header;
    at[2].resume = &resume;
    at[0].unwinder = (struct ke_registration *)((uintptr_t)&at[1] + 4);
    at[0].resume = &lost;
    if (setjmp(lost) != 0)
        fail();
    if (setjmp(resume) == 0) {
        ke_raise(0xE0000001, 0, 0, NULL);
        fail();
    }
    /* C and B are called and out when A turns out to lie above the target. */
    assert_string_equal(order, "CcbA!");
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

STACK_JUMPER static void unwinding_to_the_end_takes_every_frame(void **state)
{
    struct frame at[3];
    push_all(at, 3, KE_DISPOSITION_CONTINUE_SEARCH);
    unwind(KE_CHAIN_END, NULL);
    assert_string_equal(order, "cba");
    assert_ptr_equal(ke_teb()->ExceptionList, KE_CHAIN_END);
}

static enum ke_search inner_end;

STACK_JUMPER static uintptr_t WINAPI_DEF behind_the_gate(uintptr_t a, uintptr_t b, uintptr_t c)
{
    struct frame at;
    struct ke_exception_record record = {.ExceptionCode = 0xE0000001};
    push(&at, 'I', KE_DISPOSITION_CONTINUE_SEARCH);
    inner_end = search(&record);
    if (a == 2)
        unwind(NULL, NULL);
    else if (a)
        ke_unwind_chain(ldr_gate_current()->low);
    else
        ke_raise(0xE0000007, 0, 0, NULL);
    return 5;
}

STACK_JUMPER static void a_gate_ends_the_search(void **state)
{
    struct frame at[2];
    uintptr_t value;
    uint32_t exception;
    push_all(at, 2, KE_DISPOSITION_CONTINUE_EXECUTION);
    assert_true(ldr_gate_try((uintptr_t)behind_the_gate, 1, 0, 0, &value, &exception));
    assert_int_equal(inner_end, KE_SEARCH_GATE);
    assert_string_equal(order, "I");
    assert_ptr_equal(ke_teb()->ExceptionList, &at[0]);

    assert_false(ldr_gate_try((uintptr_t)behind_the_gate, 0, 0, 0, &value, &exception));
    assert_int_equal(exception, 0xE0000007);
    assert_string_equal(order, "III");
    assert_ptr_equal(ke_teb()->ExceptionList, &at[0]);

    /* An exit unwind takes the frames behind the gate and ends the call. */
    assert_false(ldr_gate_try((uintptr_t)behind_the_gate, 2, 0, 0, &value, &exception));
    assert_int_equal(exception, 0xC0000027);
    assert_string_equal(order, "IIIIi");
    assert_ptr_equal(ke_teb()->ExceptionList, &at[0]);
    ke_teb()->ExceptionList = KE_CHAIN_END;
}

/* ---- handlers in images ---- */

#define LISTED   0x1000u /* .text: two handlers that answer "continue search" */
#define UNLISTED 0x1010u
#define CONFIG   0x2000u /* .data */
#define TABLE    0x2080u
#define IN_DATA  0x2090u

struct safe_seh {
    bool has_config;
    uint32_t table, count; /* RVA; what the load configuration says */
    uint16_t characteristics;
};

static const uint8_t handler_code[] = {0xB8, 1, 0, 0, 0, 0xC3}; /* mov eax, 1; ret */

static struct ldr_module *load_image(const char *name, const struct safe_seh *seh)
{
    uint8_t code[0x20] = {0}, data[0x100] = {0};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    b->h.dll_characteristics |= seh->characteristics;
    memcpy(code, handler_code, sizeof(handler_code));
    memcpy(code + 0x10, handler_code, sizeof(handler_code));
    memcpy(data + (IN_DATA - CONFIG), handler_code, sizeof(handler_code));
    pebuild_put32(data, 0, 0x48);
    pebuild_put32(data, 0x40, (uint32_t)b->h.image_base + seh->table);
    pebuild_put32(data, 0x44, seh->count);
    pebuild_put32(data, TABLE - CONFIG, LISTED);
    pebuild_section(b, ".text", PEBUILD_TEXT, code, sizeof(code), 0);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof(data), 0);
    pebuild_pointer_fixup(b, CONFIG + 0x40);
    pebuild_relocs(b);
    if (seh->has_config)
        pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, CONFIG, 0x48);
    struct ldr_load_options options = {.name = name};
    options.bytes = pebuild_finish(b, &options.size);
    struct ldr_module *module = NULL;
    assert_true(nt_ok(ldr_load(&options, &module, NULL)));
    free((void *)(uintptr_t)options.bytes);
    return module;
}

static bool allowed(const struct ldr_module *module, uint32_t rva)
{
    return ke_frame_handler_allowed((uintptr_t)ldr_module_base(module) + rva);
}

STACK_JUMPER static void the_table_says_which_handlers_are_called(void **state)
{
    const struct safe_seh seh = {true, TABLE, 1, 0};
    struct ldr_module *module = load_image("listed.dll", &seh);
    struct ke_exception_record record = {.ExceptionCode = 0xE0000001};
    struct frame at[2];
    char *base = (char *)(uintptr_t)ldr_module_base(module);
    push_all(at, 2, KE_DISPOSITION_CONTINUE_SEARCH);
    at[1].header.Handler = (ke_frame_handler)(uintptr_t)(base + LISTED);
    assert_int_equal(search(&record), KE_SEARCH_BOTTOM);
    assert_int_equal(record.ExceptionFlags, 0);
    at[1].header.Handler = (ke_frame_handler)(uintptr_t)(base + UNLISTED);
    assert_int_equal(search(&record), KE_SEARCH_BOTTOM);
    assert_int_equal(record.ExceptionFlags, KE_EXCEPTION_STACK_INVALID);
    ke_teb()->ExceptionList = KE_CHAIN_END;

    assert_false(allowed(module, LISTED + 1));
    *(uint32_t *)(base + TABLE) = UNLISTED; /* it is read when the exception occurs */
    assert_true(allowed(module, UNLISTED));
    assert_false(allowed(module, LISTED));
    assert_int_equal(mprotect(base + CONFIG, 0x1000, PROT_NONE), 0);
    assert_false(allowed(module, UNLISTED));
    assert_int_equal(mprotect(base + CONFIG, 0x1000, PROT_READ | PROT_WRITE), 0);
    ldr_unload(module, NULL);
}

static void an_image_may_have_no_handlers(void **state)
{
    const struct safe_seh empty = {true, TABLE, 0, 0}, outside = {true, 0x100000, 1, 0};
    const struct safe_seh huge = {true, TABLE, 0x40000000, 0};
    const struct safe_seh no_seh = {true, TABLE, 1, IMAGE_DLLCHARACTERISTICS_NO_SEH};
    const struct safe_seh *const none[] = {&empty, &outside, &huge, &no_seh};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        struct ldr_module *module = load_image("none.dll", none[i]);
        assert_false(allowed(module, LISTED));
        assert_false(allowed(module, UNLISTED));
        ldr_unload(module, NULL);
    }
}

static void an_image_without_table_may_have_any_handler(void **state)
{
    const struct safe_seh seh = {false, 0, 0, IMAGE_DLLCHARACTERISTICS_NX_COMPAT};
    struct ldr_module *module = load_image("plain.dll", &seh);
    assert_true(allowed(module, LISTED));
    assert_true(allowed(module, IN_DATA));
    /* Data execution prevention is the program's choice. */
    void *program = ke_teb()->ProcessEnvironmentBlock->ImageBaseAddress;
    ke_teb()->ProcessEnvironmentBlock->ImageBaseAddress =
        (void *)(uintptr_t)ldr_module_base(module);
    void *anywhere = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool in_no_image = ke_frame_handler_allowed((uintptr_t)anywhere);
    ke_teb()->ProcessEnvironmentBlock->ImageBaseAddress = program;
    assert_false(in_no_image);
    assert_true(ke_frame_handler_allowed((uintptr_t)anywhere));
    munmap(anywhere, 4096);
    ldr_unload(module, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_are_asked_from_the_innermost_outwards),
        cmocka_unit_test(a_frame_unwinds_to_itself),
        cmocka_unit_test(an_exception_in_a_handler_is_nested),
        cmocka_unit_test(an_unwind_takes_over_another),
        cmocka_unit_test(a_broken_chain_ends_the_search),
        cmocka_unit_test(handlers_that_cannot_be_called_are_not),
        cmocka_unit_test(an_unwind_needs_a_target_in_the_chain),
        cmocka_unit_test(unwinding_to_the_end_takes_every_frame),
        cmocka_unit_test(a_gate_ends_the_search),
        cmocka_unit_test(the_table_says_which_handlers_are_called),
        cmocka_unit_test(an_image_may_have_no_handlers),
        cmocka_unit_test(an_image_without_table_may_have_any_handler),
    };
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
