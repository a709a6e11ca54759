/*
 * One error per thread, and setting up a thread at its first call (loader/peldr.h).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/ldr/ldr.h"
#include "loader/ob/process.h"
#include "loader/peldr_api.h"
#include "loader/peldr_walk.h"
#include "loader/win32/builtins.h"
#include "loader/win32/child.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/win32.h"

static __thread struct pe_error last;
static __thread char sentence[sizeof last.text + 64];

const char *peldr_error(void)
{
    if (nt_ok(last.status)) {
        return NULL;
    }
    snprintf(sentence, sizeof sentence, "%s: %s", nt_status_name(last.status),
             last.text[0] ? last.text : nt_status_text(last.status));
    return sentence;
}

uint32_t peldr_error_status(void)
{
    return nt_ok(last.status) ? 0 : last.status;
}

uint32_t peldr_error_win32(void)
{
    return nt_ok(last.status) ? 0 : nt_status_to_win32(last.status);
}

const char *peldr_error_rule(void)
{
    return nt_ok(last.status) ? NULL : last.rule;
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

struct pe_error *peldr_begin(void)
{
    static pthread_once_t registered = PTHREAD_ONCE_INIT;
    pthread_once(&registered, register_all);
    last.status = STATUS_SUCCESS;
    last.rule = NULL;
    last.text[0] = '\0';
    return &last;
}

/* exit() of the host is the end of the process for images as well. */
static void detach_at_exit(void)
{
    if (nt_ok(ke_thread_attach(NULL))) {
        ldr_process_detach();
    }
}

static void watch_exit(void)
{
    atexit(detach_at_exit);
}

nt_status peldr_enter(struct pe_error **err)
{
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    *err = peldr_begin();
    nt_status status = ke_process_init(*err);
    if (nt_ok(status)) {
        pthread_once(&watched, watch_exit);
        status = ke_thread_enter(*err);
    }
    return status;
}

int peldr_result(nt_status status)
{
    if (nt_ok(status)) {
        return 0;
    }
    if (nt_ok(last.status)) {
        pe_fail(&last, status, "%s", nt_status_text(status));
    }
    return -1;
}
