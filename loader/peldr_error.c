/*
 * One error per thread, and setting up a thread at its first call (loader/peldr.h).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/ke/later.h"
#include "loader/ldr/ldr.h"
#include "loader/ob/process.h"
#include "loader/peldr_api.h"
#include "loader/peldr_walk.h"
#include "loader/win32/builtins.h"
#include "loader/win32/child.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/win32.h"

/*
 * Not in the thread's own block: a library with some variables there that need a fixed place, as
 * this one's have, can only be dlopen'ed when all of them together are small.
 */
struct said {
    struct pe_error last;
    char sentence[sizeof((struct pe_error *)0)->text + 64];
};
static __thread struct said *own;
static struct said without_memory; /* of all threads for which there was none */

static pthread_key_t said_key;

/* Other destructors of the thread may still fail and say so. */
static void forget(void *mine)
{
    own = NULL;
    free(mine);
}

static void make_key(void)
{
    pthread_key_create(&said_key, forget);
}

static struct said *said(void)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    if (!own) {
        pthread_once(&made, make_key);
        own = calloc(1, sizeof *own);
        if (own && pthread_setspecific(said_key, own) != 0) {
            free(own);
            own = NULL;
        }
    }
    return own ? own : &without_memory;
}

const char *peldr_error(void)
{
    struct said *mine = said();
    if (nt_ok(mine->last.status)) {
        return NULL;
    }
    snprintf(mine->sentence, sizeof mine->sentence, "%s: %s", nt_status_name(mine->last.status),
             mine->last.text[0] ? mine->last.text : nt_status_text(mine->last.status));
    return mine->sentence;
}

uint32_t peldr_error_status(void)
{
    nt_status status = said()->last.status;
    return nt_ok(status) ? 0 : status;
}

uint32_t peldr_error_win32(void)
{
    nt_status status = said()->last.status;
    return nt_ok(status) ? 0 : nt_status_to_win32(status);
}

const char *peldr_error_rule(void)
{
    const struct pe_error *last = &said()->last;
    return nt_ok(last->status) ? NULL : last->rule;
}

const char *peldr_status_name(uint32_t status)
{
    return nt_status_name(status);
}

/* What others may ask this process for is known before anybody can ask. */
static void register_all(void)
{
    win32_use_prepared(peldr_prepared, peldr_prepared_count);
    win32_register();
    child_thread_register();
    win32_process_info_register();
    peldr_walk_register();
}

void peldr_answer_others(void)
{
    ob_service_start(NULL);
}

void peldr_answer_others_later(void)
{
    if (!ke_later(peldr_answer_others)) {
        peldr_answer_others();
    }
}

struct pe_error *peldr_begin(void)
{
    static pthread_once_t registered = PTHREAD_ONCE_INIT;
    pthread_once(&registered, register_all);
    struct pe_error *last = &said()->last;
    last->status = STATUS_SUCCESS;
    last->rule = NULL;
    last->text[0] = '\0';
    return last;
}

/* exit() of the host is the end of the process for images as well. */
static void detach_at_exit(void)
{
    ke_later_never();
    if (nt_ok(ke_thread_attach(NULL))) {
        ldr_process_detach();
    }
}

static void watch_exit(void)
{
    atexit(detach_at_exit);
}

static nt_status enter(nt_status (*init)(struct pe_error *err), struct pe_error **err)
{
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    *err = peldr_begin();
    nt_status status = init(*err);
    if (nt_ok(status)) {
        pthread_once(&watched, watch_exit);
        status = ke_thread_enter(*err);
    }
    return status;
}

nt_status peldr_enter(struct pe_error **err)
{
    return enter(ke_process_init, err);
}

nt_status peldr_enter_for_program(struct pe_error **err)
{
    return enter(ke_process_init_for_program, err);
}

int peldr_result(nt_status status)
{
    if (nt_ok(status)) {
        return 0;
    }
    struct pe_error *last = &said()->last;
    if (nt_ok(last->status)) {
        pe_fail(last, status, "%s", nt_status_text(status));
    }
    return -1;
}
