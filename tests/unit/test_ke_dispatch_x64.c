/*
 * The search and the unwind over frames of an image of x86-64: what language handlers are called
 * with, and what their answers do. The image's functions call the test, and its handlers are
 * thunks into the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ke/unwind.h"
#include "loader/ldr/gate.h"
#include "loader/stack.h"
#include "tests/unit/graphimage.h"

#ifdef __x86_64__

/*
 * inner() and outer() are the same: sub rsp, 0x28; call [callee]; nop; add rsp, 0x28; ret. Each has
 * a handler; outer() calls inner(), which calls host.exe!body.
 */
#define CALL_AT   4u
#define RETURN_AT 10u /* what the call returns to */
#define SIZE      15u
static const uint8_t code[SIZE] = {0x48, 0x83, 0xEC, 0x28, 0xFF, 0x15, 0,   0,
                                   0,    0,    0x90, 0x48, 0x83, 0xC4, 0x28};

static char trace[512];
static void (*body)(void);
static enum ke_disposition (*handle)(char who, struct ke_exception_record *record, uint64_t frame,
                                     struct ke_context *context,
                                     struct ke_dispatcher_context *dispatcher);
static uintptr_t outer_function;
static uint64_t frames[2]; /* establishers: inner, outer */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    size_t used = strlen(trace);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(trace + used, sizeof(trace) - used, format, arguments);
    va_end(arguments);
}

static uintptr_t WINAPI_DEF host_body(void)
{
    body();
    return 5;
}

static enum ke_disposition language_handler(char who, struct ke_exception_record *record,
                                            uint64_t frame, struct ke_context *context,
                                            struct ke_dispatcher_context *dispatcher)
{
    note("%c%x:%x ", who, record->ExceptionCode & 0xF, record->ExceptionFlags);
    frames[who == 'o'] = frame;
    assert_int_equal(dispatcher->EstablisherFrame, frame);
    assert_int_equal(frame % 16, 0);
    return handle ? handle(who, record, frame, context, dispatcher)
                  : KE_DISPOSITION_CONTINUE_SEARCH;
}

static enum ke_disposition WINAPI_DEF host_inner_handler(struct ke_exception_record *record,
                                                         uint64_t frame, struct ke_context *context,
                                                         struct ke_dispatcher_context *dispatcher)
{
    return language_handler('i', record, frame, context, dispatcher);
}

static enum ke_disposition WINAPI_DEF host_outer_handler(struct ke_exception_record *record,
                                                         uint64_t frame, struct ke_context *context,
                                                         struct ke_dispatcher_context *dispatcher)
{
    return language_handler('o', record, frame, context, dispatcher);
}

static const struct ldr_builtin_export callbacks[] = {
    LDR_FN(host_, body),
    LDR_FN(host_, inner_handler),
    LDR_FN(host_, outer_handler),
};

/* ---- the image --------------------------------------------------------------------------------
 */

static uint32_t put_function(struct pebuild_buffer *text, uint32_t callee)
{
    uint8_t bytes[SIZE + 1];
    uint32_t rva = pebuild_here(text);
    memcpy(bytes, code, SIZE);
    bytes[SIZE] = 0xC3;
    pebuild_put32(bytes, CALL_AT + 2, callee - (rva + RETURN_AT));
    pebuild_bytes(text, bytes, sizeof(bytes));
    return rva;
}

static uint32_t put_thunk(struct pebuild_buffer *text, uint32_t iat)
{
    uint8_t bytes[] = {0xFF, 0x25, 0, 0, 0, 0};
    pebuild_put32(bytes, 2, iat - (pebuild_here(text) + 6));
    return pebuild_bytes(text, bytes, sizeof(bytes));
}

static uint32_t put_info(struct pebuild_buffer *data, uint32_t handler)
{
    static const uint8_t info[] = {0x19, 4, 1, 0, 4, 0x42, 0, 0};
    pebuild_align(data, 4);
    uint32_t rva = pebuild_bytes(data, info, sizeof(info));
    pebuild_u32(data, handler);
    return rva;
}

static bool make_image(const char *path)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    struct pebuild_import imports[] = {
        {.module = "back.exe", .names = {"body", "inner_handler", "outer_handler"}}};
    pebuild_imports(b, imports, 1);
    uint32_t iat = imports[0].iat_rva;
    struct pebuild_buffer text = pebuild_buffer(b);
    uint32_t inner = put_function(&text, iat), inner_handler = put_thunk(&text, iat + 8),
             outer_handler = put_thunk(&text, iat + 16);
    pebuild_align(&text, 8);
    uint32_t pointer = pebuild_va(&text, inner), outer = put_function(&text, pointer);
    pebuild_buffer_section(&text, ".text", PEBUILD_TEXT);
    struct pebuild_buffer data = pebuild_buffer(b);
    const struct ke_runtime_function table[] = {
        {inner, inner + SIZE + 1, put_info(&data, inner_handler)},
        {outer, outer + SIZE + 1, put_info(&data, outer_handler)}};
    uint32_t at = pebuild_bytes(&data, table, sizeof(table));
    pebuild_buffer_section(&data, ".pdata", PEBUILD_RDATA);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, at, sizeof(table));
    pebuild_relocs(b);
    outer_function = outer;
    return pebuild_finish_file(b, path);
}

/* Runs outer() below a guard: what it returns, or the code of the exception that left it. */
static uint64_t run(void (*what)(void))
{
    uintptr_t value = 0;
    uint32_t exception = 0;
    trace[0] = '\0';
    body = what;
    return ldr_gate_try(outer_function, 0, 0, 0, &value, &exception) ? value : exception;
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void raise_1(void)
{
    ke_raise(0xE0000001, 0, 0, NULL);
}

static void the_search_asks_every_frame_and_ends_at_the_gate(void **state)
{
    handle = NULL;
    assert_int_equal(run(raise_1), 0xE0000001);
    assert_string_equal(trace, "i1:0 o1:0 ");
    assert_int_equal(frames[1] - frames[0], 0x30);
}

static enum ke_disposition continues(char who, struct ke_exception_record *record, uint64_t frame,
                                     struct ke_context *context,
                                     struct ke_dispatcher_context *dispatcher)
{
    return who == 'o' ? KE_DISPOSITION_CONTINUE_EXECUTION : KE_DISPOSITION_CONTINUE_SEARCH;
}

static void a_handler_may_continue(void **state)
{
    handle = continues;
    assert_int_equal(run(raise_1), 5);
    assert_string_equal(trace, "i1:0 o1:0 ");
}

static void raise_noncontinuable(void)
{
    ke_raise(0xE0000001, KE_EXCEPTION_NONCONTINUABLE, 0, NULL);
}

static enum ke_disposition continues_1(char who, struct ke_exception_record *record, uint64_t frame,
                                       struct ke_context *context,
                                       struct ke_dispatcher_context *dispatcher)
{
    return record->ExceptionCode == 0xE0000001 ? KE_DISPOSITION_CONTINUE_EXECUTION
                                               : KE_DISPOSITION_CONTINUE_SEARCH;
}

static void what_nobody_may_continue_raises_another_one(void **state)
{
    handle = continues_1;
    assert_int_equal(run(raise_noncontinuable), 0xC0000025);
    assert_string_equal(trace, "i1:1 i5:1 o5:1 ");
}

/* The outer frame takes exceptions of its code, and goes on behind its call. */
static enum ke_disposition outer_takes(char who, struct ke_exception_record *record, uint64_t frame,
                                       struct ke_context *context,
                                       struct ke_dispatcher_context *dispatcher)
{
    if (who == 'o' && !(record->ExceptionFlags & KE_EXCEPTION_UNWIND))
        ke_unwind_ex((void *)frame, (void *)dispatcher->ControlPc, record, (void *)77, context,
                     NULL);
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

static void an_unwind_calls_the_frames_again_and_goes_on_at_its_target(void **state)
{
    handle = outer_takes;
    assert_int_equal(run(raise_1), 77);
    assert_string_equal(trace, "i1:0 o1:0 i1:2 o1:22 ");
}

static enum ke_disposition inner_raises_once(char who, struct ke_exception_record *record,
                                             uint64_t frame, struct ke_context *context,
                                             struct ke_dispatcher_context *dispatcher)
{
    if (who == 'i' && record->ExceptionCode == 0xE0000001 &&
        !(record->ExceptionFlags & KE_EXCEPTION_UNWIND))
        ke_raise(0xE0000002, 0, 0, NULL);
    return outer_takes(who, record, frame, context, dispatcher);
}

static void exceptions_of_handlers_are_nested(void **state)
{
    handle = inner_raises_once;
    assert_int_equal(run(raise_1), 77);
    /* The frame whose handler raised is told, those beyond it are not. */
    assert_string_equal(trace, "i1:0 i2:10 o2:0 i2:2 o2:22 ");
}

static enum ke_disposition unwind_raises_once(char who, struct ke_exception_record *record,
                                              uint64_t frame, struct ke_context *context,
                                              struct ke_dispatcher_context *dispatcher)
{
    if (who == 'i' && record->ExceptionFlags == KE_EXCEPTION_UNWINDING &&
        dispatcher->ScopeIndex == 0) {
        dispatcher->ScopeIndex = 1;
        ke_raise(0xE0000003, 0, 0, NULL);
    }
    return outer_takes(who, record, frame, context, dispatcher);
}

static void unwinds_that_collide_go_on_where_the_first_one_was(void **state)
{
    handle = unwind_raises_once;
    assert_int_equal(run(raise_1), 77);
    assert_string_equal(trace, "i1:0 o1:0 i1:2 i3:0 o3:0 i3:42 o3:22 ");
}

static uint64_t WINAPI_DEF consolidate(struct ke_exception_record *record)
{
    note("c%d ", (int)record->ExceptionInformation[1]);
    if (record->ExceptionInformation[1] == 1)
        ke_raise(0xE0000004, 0, 0, NULL); /* as if the outer frame had raised it at its call */
    return record->ExceptionInformation[2];
}

static uintptr_t consolidations;

static enum ke_disposition outer_consolidates(char who, struct ke_exception_record *record,
                                              uint64_t frame, struct ke_context *context,
                                              struct ke_dispatcher_context *dispatcher)
{
    struct ke_exception_record unwind = {
        .ExceptionCode = 0x80000029,
        .NumberParameters = 3,
        .ExceptionInformation = {(uintptr_t)consolidate, ++consolidations, dispatcher->ControlPc}};
    if (who == 'o' && !(record->ExceptionFlags & KE_EXCEPTION_UNWIND))
        ke_unwind_ex((void *)frame, (void *)dispatcher->ControlPc, &unwind, (void *)78, context,
                     NULL);
    consolidations--;
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

static void consolidation_runs_a_function_in_the_target_frame(void **state)
{
    handle = outer_consolidates;
    consolidations = 1;
    assert_int_equal(run(raise_1), 78);
    assert_string_equal(trace, "i1:0 o1:0 i9:2 o9:22 c2 ");
    consolidations = 0;
    assert_int_equal(run(raise_1), 78);
    assert_string_equal(trace, "i1:0 o1:0 i9:2 o9:22 c1 o4:0 o9:22 c2 ");
}

static enum ke_disposition aims_nowhere(char who, struct ke_exception_record *record,
                                        uint64_t frame, struct ke_context *context,
                                        struct ke_dispatcher_context *dispatcher)
{
    if (who == 'o' && record->ExceptionCode == 0xE0000001 &&
        !(record->ExceptionFlags & KE_EXCEPTION_UNWIND))
        ke_unwind_ex((void *)(frame + 0x100000), NULL, record, NULL, context, NULL);
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

static void a_target_that_is_no_frame_is_refused(void **state)
{
    handle = aims_nowhere;
    assert_int_equal(run(raise_1), 0xC0000029);
}

static int set_up(void **state)
{
    static const struct ldr_builtin_family family = {callbacks,
                                                     sizeof(callbacks) / sizeof(callbacks[0])};
    static const struct ldr_builtin back = {
        .name = "back.exe", .families = &family, .family_count = 1};
    struct ldr_module *module;
    if (tempdir_create() || !nt_ok(ldr_builtin_register(&back)) || !nt_ok(ke_thread_enter(NULL)) ||
        !make_image(tempdir_path("frames.dll")))
        return -1;
    module = graph_must_load("frames.dll");
    outer_function += module ? (uintptr_t)ldr_module_base(module) : 0;
    return module ? 0 : -1;
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_asks_every_frame_and_ends_at_the_gate),
        cmocka_unit_test(a_handler_may_continue),
        cmocka_unit_test(what_nobody_may_continue_raises_another_one),
        cmocka_unit_test(an_unwind_calls_the_frames_again_and_goes_on_at_its_target),
        cmocka_unit_test(exceptions_of_handlers_are_nested),
        cmocka_unit_test(unwinds_that_collide_go_on_where_the_first_one_was),
        cmocka_unit_test(consolidation_runs_a_function_in_the_target_frame),
        cmocka_unit_test(a_target_that_is_no_frame_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

/* i386's frames are a chain (test_ke_chain.c). */
int main(void)
{
    return 77; /* skipped */
}

#endif
