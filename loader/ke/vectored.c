/*
 * Vectored handlers: the two lists of the process.
 *
 * Order and return values as documented for AddVectoredExceptionHandler and
 * AddVectoredContinueHandler. Handlers run without the lock; one that is removed meanwhile is
 * skipped from then on and freed when no thread is in it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/mm/heap.h"
#include "loader/state.h"

typedef int32_t(WINAPI *exception_handler)(struct ke_exception_pointers *pointers);

struct vectored {
    struct vectored *next;
    exception_handler handler;
    bool is_continue, removed;
    unsigned calls; /* under way; one that a handler left by unwinding is never taken back */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct vectored *handlers IMAGE_STATE; /* in the heap of images */

void *ke_add_vectored(int first, void *handler, bool is_continue)
{
    struct vectored *node = mm_heap_zalloc(mm_heap_process(), sizeof(*node));
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
    for (struct vectored **link = &handlers; *link;) {
        struct vectored *node = *link;
        if (node->removed && node->calls == 0) {
            *link = node->next;
            mm_heap_free(mm_heap_process(), node);
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

bool ke_call_vectored(struct ke_exception_pointers *pointers, bool is_continue)
{
    int32_t answer = KE_CONTINUE_SEARCH;
    pthread_mutex_lock(&mutex);
    for (struct vectored *node = handlers; node && answer != KE_CONTINUE_EXECUTION;
         node = node->next) {
        if (node->removed || node->is_continue != is_continue)
            continue;
        node->calls++;
        pthread_mutex_unlock(&mutex);
        answer = node->handler(pointers);
        pthread_mutex_lock(&mutex);
        node->calls--;
    }
    free_removed();
    pthread_mutex_unlock(&mutex);
    return answer == KE_CONTINUE_EXECUTION;
}
