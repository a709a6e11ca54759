/*
 * The beginning and the end of a program: initialiser tables, exit functions, exit, abort,
 * assertions.
 *
 * exit() runs what was registered, last first, flushes and ends the process, which detaches the
 * modules. abort() ends with status 3, as Windows's does.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/state.h"
#include "loader/win32/crt/startup.h"
#include "loader/win32/crt/stream.h"

typedef void(WINCDECL *procedure)(void);
typedef int(WINCDECL *initializer)(void);

enum { STATUS_STACK_BUFFER_OVERRUN = (int)0xC0000409, ABORT_STATUS = 3 };

/* The program's own exit functions. */
struct exit_list {
    procedure *functions;
    size_t used, room;
};
static struct exit_list normal_exit IMAGE_STATE, quick_exit_list IMAGE_STATE;
static pthread_mutex_t exit_lock = PTHREAD_MUTEX_INITIALIZER;

static bool register_exit(struct exit_list *list, procedure function)
{
    bool ok = true;
    pthread_mutex_lock(&exit_lock);
    if (list->used == list->room) {
        size_t room = list->room != 0 ? 2 * list->room : 32;
        procedure *grown = crt_heap_realloc(list->functions, room * sizeof(*grown));
        ok = grown != NULL;
        list->functions = ok ? grown : list->functions;
        list->room = ok ? room : list->room;
    }
    if (ok) {
        list->functions[list->used++] = function;
    }
    pthread_mutex_unlock(&exit_lock);
    return ok;
}

/* Functions may register more while they run; those come next. */
static void run_exit_list(struct exit_list *list)
{
    for (;;) {
        procedure next = NULL;
        pthread_mutex_lock(&exit_lock);
        bool more = list->used > 0;
        if (more) {
            next = list->functions[--list->used];
        }
        pthread_mutex_unlock(&exit_lock);
        if (!more) {
            return;
        }
        if (next != NULL) {
            next();
        }
    }
}

void crt_run_exit_functions(void)
{
    run_exit_list(&normal_exit);
    crt_stream_all(false);
}

void crt_exit(int code)
{
    crt_run_exit_functions();
    ke_process_exit((uint32_t)code);
}

void crt_abort(void)
{
    crt_raise(22); /* SIGABRT; a handler may jump away */
    ke_process_exit(ABORT_STATUS);
}

/* ---- initialiser tables
 * ------------------------------------------------------------------------------- */

static WINCDECL_DEF void crt__initterm(procedure *begin, procedure *end)
{
    for (; begin < end; begin++) {
        if (*begin != NULL) {
            (*begin)();
        }
    }
}

static WINCDECL_DEF int crt__initterm_e(initializer *begin, initializer *end)
{
    int result = 0;
    for (; result == 0 && begin < end; begin++) {
        if (*begin != NULL) {
            result = (*begin)();
        }
    }
    return result;
}

/* ---- registration
 * --------------------------------------------------------------------------------------- */

static WINCDECL_DEF int crt_atexit(procedure function)
{
    return register_exit(&normal_exit, function) ? 0 : -1;
}

static WINCDECL_DEF void *crt__onexit(procedure function)
{
    return register_exit(&normal_exit, function) ? (void *)function : NULL;
}

static WINCDECL_DEF int crt__crt_at_quick_exit(procedure function)
{
    return register_exit(&quick_exit_list, function) ? 0 : -1;
}

/* A module's own list, kept in its memory: UCRT's _onexit_table_t, and msvcrt's two pointers. */
struct onexit_table {
    procedure *first, *last, *end;
};

static WINCDECL_DEF int crt__initialize_onexit_table(struct onexit_table *table)
{
    if (table == NULL) {
        return -1;
    }
    if (table->first == table->end) {
        *table = (struct onexit_table){0};
    }
    return 0;
}

static WINCDECL_DEF int crt__register_onexit_function(struct onexit_table *table,
                                                      procedure function)
{
    if (table == NULL) {
        return -1;
    }
    int result = 0;
    pthread_mutex_lock(&exit_lock);
    size_t used = (size_t)(table->last - table->first);
    if (table->last == table->end) {
        size_t room = used != 0 ? 2 * used : 32;
        procedure *grown = crt_heap_realloc(table->first, room * sizeof(*grown));
        if (grown != NULL) {
            *table = (struct onexit_table){grown, grown + used, grown + room};
        } else {
            result = -1;
        }
    }
    if (result == 0) {
        *table->last++ = function;
    }
    pthread_mutex_unlock(&exit_lock);
    return result;
}

static WINCDECL_DEF int crt__execute_onexit_table(struct onexit_table *table)
{
    if (table == NULL) {
        return -1;
    }
    while (table->last > table->first) {
        procedure function = *--table->last;
        if (function != NULL) {
            function();
        }
    }
    crt_heap_free(table->first);
    *table = (struct onexit_table){0};
    return 0;
}

static WINCDECL_DEF void *crt___dllonexit(procedure function, procedure **begin, procedure **end)
{
    size_t used = (size_t)(*end - *begin);
    procedure *grown = crt_heap_realloc(*begin, (used + 1) * sizeof(*grown));
    if (grown == NULL) {
        return NULL;
    }
    grown[used] = function;
    *begin = grown;
    *end = grown + used + 1;
    return (void *)function;
}

/* ---- the end
 * -----------------------------------------------------------------------------------------------
 */

static WINCDECL_DEF void crt_exit_program(int code)
{
    crt_exit(code);
}

static WINCDECL_DEF void crt__exit(int code)
{
    ke_process_exit((uint32_t)code);
}

static WINCDECL_DEF void crt_quick_exit(int code)
{
    run_exit_list(&quick_exit_list);
    ke_process_exit((uint32_t)code);
}

static WINCDECL_DEF void crt__cexit(void)
{
    crt_run_exit_functions();
}

static WINCDECL_DEF void crt__c_exit(void)
{
}

static WINCDECL_DEF void crt_abort_program(void)
{
    crt_stream_all(false);
    crt_abort();
}

/* Fatal errors of the runtime itself; the numbers are documented as R6xxx. */
static WINCDECL_DEF void crt__amsg_exit(int number)
{
    fprintf(stderr, "runtime error R%d\n", 6000 + number);
    ke_process_exit(255);
}

static WINCDECL_DEF void crt__assert(const char *expression, const char *file, unsigned line)
{
    fflush(stdout);
    fprintf(stderr, "Assertion failed: %s, file %s, line %u\n", expression, file, line);
    crt_abort();
}

static WINCDECL_DEF void crt__wassert(const crt_wchar *expression, const crt_wchar *file,
                                      unsigned line)
{
    char *narrow_expression = crt_narrow(expression, crt_wlen(expression), NULL);
    char *narrow_file = crt_narrow(file, crt_wlen(file), NULL);
    crt__assert(narrow_expression != NULL ? narrow_expression : "?",
                narrow_file != NULL ? narrow_file : "?", line);
}

/* An invalid parameter that nobody handles, a smashed stack: the process ends with that status. */
static WINCDECL_DEF void crt__invoke_watson(void)
{
    ke_process_terminate((uint32_t)STATUS_STACK_BUFFER_OVERRUN);
}

/* ---- C++ ends
 * ------------------------------------------------------------------------------------------------
 */

static procedure purecall_handler IMAGE_STATE;

static WINCDECL_DEF void crt__purecall(void)
{
    if (purecall_handler != NULL) {
        purecall_handler();
    }
    fprintf(stderr, "runtime error R6025: pure virtual function call\n");
    crt_abort();
}

static WINCDECL_DEF procedure crt__set_purecall_handler(procedure handler)
{
    procedure old = purecall_handler;
    purecall_handler = handler;
    return old;
}

static WINCDECL_DEF procedure crt__get_purecall_handler(void)
{
    return purecall_handler;
}

/* A handler may not leave by an exception; one that does so ends here again. */
void crt_terminate(void)
{
    static __thread bool terminating;
    procedure handler = (procedure)crt_thread()->terminate;
    if (handler != NULL && !terminating) {
        terminating = true;
        handler();
    }
    crt_abort();
}

static WINCDECL_DEF void crt_terminate_program(void)
{
    crt_terminate();
}

static WINCDECL_DEF procedure crt_set_terminate(procedure handler)
{
    procedure old = (procedure)crt_thread()->terminate;
    crt_thread()->terminate = (void *)handler;
    return old;
}

static WINCDECL_DEF procedure crt__get_terminate(void)
{
    return (procedure)crt_thread()->terminate;
}

static WINCDECL_DEF procedure crt_set_unexpected(procedure handler)
{
    procedure old = (procedure)crt_thread()->unexpected;
    crt_thread()->unexpected = (void *)handler;
    return old;
}

static WINCDECL_DEF procedure crt__get_unexpected(void)
{
    return (procedure)crt_thread()->unexpected;
}

static WINCDECL_DEF void crt_unexpected(void)
{
    procedure handler = (procedure)crt_thread()->unexpected;
    if (handler != NULL) {
        handler();
    }
    crt_terminate();
}

/* ---- modes
 * ---------------------------------------------------------------------------------------------------
 */

static int application_type, error_mode IMAGE_STATE;
static unsigned abort_behaviour IMAGE_STATE;

static WINCDECL_DEF void crt__set_app_type(int type)
{
    application_type = type;
}

static WINCDECL_DEF int crt__query_app_type(void)
{
    return application_type;
}

static WINCDECL_DEF int crt__set_error_mode(int mode)
{
    int old = error_mode;
    if (mode != 3) { /* _REPORT_ERRMODE only asks */
        error_mode = mode;
    }
    return old;
}

static WINCDECL_DEF unsigned crt__set_abort_behavior(unsigned flags, unsigned mask)
{
    unsigned old = abort_behaviour;
    abort_behaviour = (old & ~mask) | (flags & mask);
    return old;
}

/* The filters around main: the search for a handler goes on (EXCEPTION_CONTINUE_SEARCH). */
static WINCDECL_DEF int crt__seh_filter_exe(uint32_t code, void *pointers)
{
    return 0;
}

static WINCDECL_DEF void crt___setusermatherr(void *handler)
{
}

static WINCDECL_DEF void crt__register_thread_local_exe_atexit_callback(void *callback)
{
}

static WINCDECL_DEF void **crt___pxcptinfoptrs(void)
{
    return &crt_thread()->exception_pointers;
}

static WINCDECL_DEF int *crt___fpecode(void)
{
    return &crt_thread()->fpe_code;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_initterm),
    CRT_FN(_initterm_e),
    CRT_FN(atexit),
    CRT_AS(_crt_atexit, crt_atexit),
    CRT_FN(_onexit),
    CRT_FN(_crt_at_quick_exit),
    CRT_FN(_initialize_onexit_table),
    CRT_FN(_register_onexit_function),
    CRT_FN(_execute_onexit_table),
    CRT_FN(__dllonexit),
    CRT_AS(exit, crt_exit_program),
    CRT_FN(_exit),
    CRT_AS(_Exit, crt__exit),
    CRT_FN(quick_exit),
    CRT_FN(_cexit),
    CRT_FN(_c_exit),
    CRT_AS(abort, crt_abort_program),
    CRT_FN(_amsg_exit),
    CRT_FN(_assert),
    CRT_FN(_wassert),
    CRT_FN(_invoke_watson),
    CRT_AS(_invalid_parameter_noinfo_noreturn, crt__invoke_watson),
    CRT_AS(__report_gsfailure, crt__invoke_watson),
    CRT_FN(_purecall),
    CRT_FN(_set_purecall_handler),
    CRT_FN(_get_purecall_handler),
    CRT_AS(terminate, crt_terminate_program),
    CRT_AS(__std_terminate, crt_terminate_program),
    CRT_FN(set_terminate),
    CRT_FN(_get_terminate),
    CRT_FN(unexpected),
    CRT_FN(set_unexpected),
    CRT_FN(_get_unexpected),
    {.name = "?terminate@@YAXXZ", .address = (const void *)crt_terminate_program},
    {.name = "?unexpected@@YAXXZ", .address = (const void *)crt_unexpected},
    {.name = "?set_terminate@@YAP6AXXZP6AXXZ@Z", .address = (const void *)crt_set_terminate},
    {.name = "?set_unexpected@@YAP6AXXZP6AXXZ@Z", .address = (const void *)crt_set_unexpected},
    CRT_FN(_set_app_type),
    CRT_AS(__set_app_type, crt__set_app_type),
    CRT_FN(_query_app_type),
    CRT_FN(_set_error_mode),
    CRT_FN(_set_abort_behavior),
    CRT_FN(_seh_filter_exe),
    CRT_AS(_seh_filter_dll, crt__seh_filter_exe),
    CRT_AS(_XcptFilter, crt__seh_filter_exe),
    CRT_FN(__setusermatherr),
    CRT_FN(_register_thread_local_exe_atexit_callback),
    CRT_FN(__pxcptinfoptrs),
    CRT_FN(__fpecode),
};
CRT_FAMILY(crt_exit_family, functions);
