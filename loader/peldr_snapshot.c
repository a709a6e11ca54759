/*
 * Snapshots: each room puts back what is its own (loader/peldr.h).
 */
#include "loader/ke/ke.h"
#include "loader/ke/snapshot.h"
#include "loader/ldr/ldr.h"
#include "loader/ldr/snapshot.h"
#include "loader/mm/snapshot.h"
#include "loader/ob/snapshot.h"
#include "loader/peldr_api.h"
#include "loader/win32/snapshot.h"

/* Under the loader lock: nothing is loaded or unloaded meanwhile. */
static struct {
    struct ke_snapshot *threads;
    struct ob_snapshot *handles;
    struct ldr_snapshot *modules;
    struct win32_snapshot *builtin;
} kept;

static void drop(void)
{
    ke_snapshot_drop(kept.threads);
    ob_snapshot_drop(kept.handles);
    ldr_snapshot_drop(kept.modules);
    win32_snapshot_drop(kept.builtin);
    kept.threads = NULL;
    kept.handles = NULL;
    kept.modules = NULL;
    kept.builtin = NULL;
    mm_snapshot_drop();
}

/* The memory comes last: what the others make for themselves is in it. */
static nt_status take(struct pe_error *err)
{
    nt_status status = ke_snapshot_take(&kept.threads, err);
    if (nt_ok(status)) {
        status = win32_snapshot_take(&kept.builtin, err);
    }
    if (nt_ok(status)) {
        status = ob_snapshot_take(&kept.handles, err);
    }
    if (nt_ok(status)) {
        status = ldr_snapshot_take(&kept.modules, err);
    }
    return nt_ok(status) ? mm_snapshot_take(err) : status;
}

/* Nothing is changed before all of it can be. */
static nt_status check(struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    if (!kept.threads) {
        return pe_fail(err, STATUS_INVALID_PARAMETER, "there is no snapshot to go back to");
    }
    status = ke_snapshot_check(kept.threads, err);
    if (nt_ok(status)) {
        status = ldr_snapshot_check(kept.modules, err);
    }
    return nt_ok(status) ? mm_snapshot_check(err) : status;
}

static nt_status reset(struct pe_error *err)
{
    nt_status status = check(err);
    if (!nt_ok(status)) {
        return status;
    }
    win32_snapshot_close(kept.builtin);
    ldr_snapshot_reset(kept.modules);
    ob_snapshot_reset(kept.handles);
    status = mm_snapshot_reset(err);
    win32_snapshot_reset(kept.builtin);
    ke_snapshot_reset(kept.threads);
    return status;
}

int peldr_snapshot(void)
{
    struct pe_error *err;
    nt_status status = peldr_enter(&err);
    if (nt_ok(status)) {
        ldr_lock();
        drop();
        status = take(err);
        if (!nt_ok(status)) {
            drop();
        }
        ldr_unlock();
    }
    return peldr_result(status);
}

int peldr_reset(void)
{
    struct pe_error *err;
    nt_status status = peldr_enter(&err);
    if (nt_ok(status)) {
        ldr_lock();
        status = reset(err);
        ldr_unlock();
    }
    return peldr_result(status);
}

void peldr_snapshot_drop(void)
{
    peldr_begin();
    ldr_lock();
    drop();
    ldr_unlock();
}
