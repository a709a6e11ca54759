/*
 * Vectored handlers: the two lists of the process.
 *
 * Order and return values as documented for AddVectoredExceptionHandler and
 * AddVectoredContinueHandler. Handlers run without the lock; one that is removed meanwhile is
 * skipped and freed when no dispatch is under way.
 */
#include <pthread.h>
#include <stdlib.h>

#include "loader/ke/exception.h"
#include "loader/ke/ke.h"

typedef int32_t(WINAPI *exception_handler)(struct ke_exception_pointers *pointers);

struct vectored {
    struct vectored *next;
    exception_handler handler;
    bool is_continue, removed;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct vectored *handlers;
static unsigned dispatches; /* under way */

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

bool ke_call_vectored(struct ke_exception_pointers *pointers, bool is_continue)
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
