/*
 * The chain of i386 frames: order, dispositions, nested exceptions, unwinding, broken chains.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/chain.h"
#include "loader/ke/ke.h"
#include "loader/ldr/gate.h"
#include "loader/stack.h"

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
    if (a)
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
    ke_teb()->ExceptionList = KE_CHAIN_END;
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
    };
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
