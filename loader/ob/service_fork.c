/*
 * What fork(2) means for processes and their service.
 *
 * The child has neither the parent's thread nor its name: it begins without service and record and
 * starts its own when it needs them. All locks of these files are held during a fork, so that none
 * of them is left behind locked; ob's locks are taken in this order nowhere else but here.
 */
#include <pthread.h>

#include "loader/ob/process_object.h"
#include "loader/ob/service_object.h"

static void before(void)
{
    ob_service_before_fork();
    ob_process_before_fork();
    ob_process_record_before_fork();
    ob_watches_before_fork();
}

static void after(bool child)
{
    ob_watches_after_fork(child);
    ob_process_record_after_fork(child);
    ob_process_after_fork(child);
    ob_service_after_fork(child);
}

static void after_in_parent(void)
{
    after(false);
}

static void after_in_child(void)
{
    after(true);
}

static void install(void)
{
    pthread_atfork(before, after_in_parent, after_in_child);
}

void ob_process_watch_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}
