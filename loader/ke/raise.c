/*
 * Software exceptions: vectored handlers, the unhandled filter, the report, the end.
 *
 * Order and return values as documented for AddVectoredExceptionHandler, AddVectoredContinueHandler
 * and SetUnhandledExceptionFilter. Handlers run without the lock; one that is removed meanwhile is
 * skipped and freed when no dispatch is under way.
 */
#include "loader/ke/exception.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/process.h"
#include "loader/ke/report.h"
#include "loader/ke/thread.h"
#include "loader/ldr/gate.h"

/* A name for the debugger, thrown at it by MSVC programs; its raiser always swallows it. */
#define MSVC_THREAD_NAME 0x406D1388u

typedef int32_t(WINAPI *exception_handler)(struct ke_exception_pointers *pointers);

struct vectored {
    struct vectored *next;
    exception_handler handler;
    bool is_continue, removed;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct vectored *handlers;
static unsigned dispatches; /* under way */
static exception_handler unhandled_filter;

void *ke_add_vectored(int first, void *handler, bool is_continue)
{
    struct vectored *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->handler = (exception_handler)handler;
    node->is_continue = is_continue;
    pthread_mutex_lock(&mutex);
    struct vectored **link = &handlers;
    while (!first && *link)
        link = &(*link)->next;
    node->next = *link;
    *link = node;
    pthread_mutex_unlock(&mutex);
    return node;
}

/* Lock held. */
static void free_removed(void)
{
    for (struct vectored **link = &handlers; dispatches == 0 && *link;) {
        struct vectored *node = *link;
        if (node->removed) {
            *link = node->next;
            free(node);
        } else {
            link = &node->next;
        }
    }
}

uint32_t ke_remove_vectored(void *registration)
{
    uint32_t found = 0;
    pthread_mutex_lock(&mutex);
    for (struct vectored *node = handlers; node && !found; node = node->next) {
        found = node == registration && !node->removed;
        node->removed |= found;
    }
    free_removed();
    pthread_mutex_unlock(&mutex);
    return found;
}

void *ke_set_unhandled_filter(void *filter)
{
    return (void *)__atomic_exchange_n(&unhandled_filter, (exception_handler)filter,
                                       __ATOMIC_ACQ_REL);
}

/* Whether a handler of that list asked to continue. */
static bool call_handlers(struct ke_exception_pointers *pointers, bool is_continue)
{
    int32_t answer = KE_CONTINUE_SEARCH;
    pthread_mutex_lock(&mutex);
    dispatches++;
    for (struct vectored *node = handlers; node && answer != KE_CONTINUE_EXECUTION;
         node = node->next) {
        if (node->removed || node->is_continue != is_continue)
            continue;
        pthread_mutex_unlock(&mutex);
        answer = node->handler(pointers);
        pthread_mutex_lock(&mutex);
    }
    dispatches--;
    free_removed();
    pthread_mutex_unlock(&mutex);
    return answer == KE_CONTINUE_EXECUTION;
}

static const char *code_name(uint32_t code)
{
    static const struct {
        uint32_t code;
        const char *name;
    } names[] = {
        {0xE06D7363, "C++ exception (MSVC)"},
        {0x20474343, "C++ exception (GCC)"},
        {0xE0434352, "CLR exception"},
        {0xC0000025, "STATUS_NONCONTINUABLE_EXCEPTION"},
        {0xC0000094, "STATUS_INTEGER_DIVIDE_BY_ZERO"},
        {0xC00000FD, "STATUS_STACK_OVERFLOW"},
        {0xC0000409, "STATUS_STACK_BUFFER_OVERRUN"},
        {0xC06D007E, "delay-load module not found"},
        {0xC06D007F, "delay-load function not found"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].code == code)
            return names[i].name;
    const char *name = nt_status_name(code);
    return strcmp(name, "STATUS_UNKNOWN") ? name : "";
}

void ke_report_exception(const struct ke_exception_record *record)
{
    struct ke_text text = {.length = 0};
    ke_text_put(&text, "unhandled exception ");
    const char *name = code_name(record->ExceptionCode);
    ke_text_put(&text, name);
    ke_text_put(&text, *name ? " " : "");
    ke_text_hex(&text, record->ExceptionCode);
    ke_text_put(&text, " at ");
    ke_text_address(&text, (uintptr_t)record->ExceptionAddress);
    ke_text_report(&text);
}

int32_t ke_unhandled(struct ke_exception_pointers *pointers)
{
    static __thread bool in_filter; /* an exception of the filter itself has no filter */
    exception_handler filter = __atomic_load_n(&unhandled_filter, __ATOMIC_ACQUIRE);
    int32_t answer = KE_CONTINUE_SEARCH;
    if (filter && !in_filter) {
        in_filter = true;
        answer = filter(pointers);
        in_filter = false;
    }
    if (answer != KE_CONTINUE_SEARCH)
        return answer;
    ke_report_exception(pointers->ExceptionRecord);
    return KE_EXECUTE_HANDLER;
}

void ke_dispatch_exception(struct ke_exception_record *record, struct ke_context *context)
{
    struct ke_exception_pointers pointers = {record, context};
    bool handled = call_handlers(&pointers, false);
    if (!handled && record->ExceptionCode == MSVC_THREAD_NAME)
        return;
    /* The loader's handler around entry points is nearer than the filter around the thread. */
    if (!handled)
        ldr_gate_leave(record->ExceptionCode);
    if (!handled)
        handled = ke_unhandled(&pointers) == KE_CONTINUE_EXECUTION;
    if (!handled) /* reported, or dealt with by the filter */
        ke_process_terminate(record->ExceptionCode);
    if (record->ExceptionFlags & KE_EXCEPTION_NONCONTINUABLE) {
        record->ExceptionCode = 0xC0000025; /* STATUS_NONCONTINUABLE_EXCEPTION */
        ke_report_exception(record);
        ke_process_terminate(record->ExceptionCode);
    }
    call_handlers(&pointers, true);
}

void ke_raise_at(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters,
                 const void *address)
{
    struct ke_context context = {0};
    struct ke_exception_record record = {
        .ExceptionCode = code,
        .ExceptionFlags = flags & KE_EXCEPTION_NONCONTINUABLE,
        .ExceptionAddress = (void *)(uintptr_t)address,
    };
    if (parameters)
        record.NumberParameters = count < KE_EXCEPTION_PARAMETERS ? count : KE_EXCEPTION_PARAMETERS;
    for (uint32_t i = 0; i < record.NumberParameters; i++)
        record.ExceptionInformation[i] = parameters[i];
    ke_capture_context(&context);
    ke_dispatch_exception(&record, &context);
}

void ke_raise(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters)
{
    uintptr_t caller = ke_find_caller((uintptr_t)__builtin_frame_address(0));
    ke_raise_at(code, flags, count, parameters,
                caller ? (void *)caller : __builtin_return_address(0));
}
