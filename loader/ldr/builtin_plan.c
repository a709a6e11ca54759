/*
 * Plans a builtin's image: merges the written exports with the list of names that Windows exports,
 * assigns ordinals, and adds up sizes (builtin_plan.h).
 *
 * Names on the list without an export become traps; exports that are not on it are exported
 * nevertheless. Exports with an ordinal keep it; the others get the free ones from the base up, in
 * the order of their names, as linkers do.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_plan.h"
#include "pe/image.h"

#define MAX_ORDINAL 0xFFFFu
#define DATA_ALIGN  16u

uint32_t ldr_builtin_data_size(const struct ldr_builtin_export *export)
{
    return (export->size + DATA_ALIGN - 1) & ~(DATA_ALIGN - 1);
}

static nt_status refuse(const struct ldr_builtin *builtin, const char *name, uint32_t ordinal,
                        const char *why, struct pe_error *err)
{
    if (name == NULL)
        return pe_fail(err, STATUS_INVALID_PARAMETER, "builtin module %s: ordinal %u %s",
                       builtin->name, ordinal, why);
    return pe_fail(err, STATUS_INVALID_PARAMETER, "builtin module %s: %s %s", builtin->name, name,
                   why);
}

/* ---- one export ---- */

static const char *export_fault(const struct ldr_builtin_export *export)
{
    if (export->name == NULL && export->ordinal == 0)
        return "has neither name nor ordinal";
    if (export->kind == LDR_EXPORT_FUNCTION && export->address == NULL)
        return "has no address";
    if (export->kind == LDR_EXPORT_FORWARD &&
        (export->forward == NULL || strchr(export->forward, '.') == NULL))
        return "forwards to nothing";
    if (export->kind == LDR_EXPORT_DATA && (export->size == 0 || export->size > INT32_MAX))
        return "has no sane size";
    if (export->kind == LDR_EXPORT_TRAP && export->name == NULL)
        return "is a trap without a name";
    return export->kind > LDR_EXPORT_TRAP ? "is of no known kind" : NULL;
}

/* Adds the next export; a NULL `export` is a trap for `name`. The plan knows traps by having no
 * export. */
static void append(struct ldr_builtin_plan *plan, const char *name,
                   const struct ldr_builtin_export *export)
{
    bool trap = export == NULL || export->kind == LDR_EXPORT_TRAP;
    plan->exports[plan->count++] = (struct ldr_planned_export){
        .name = name, .export = trap ? NULL : export, .ordinal = export ? export->ordinal : 0};
    plan->named += name != NULL;
    plan->string_size += name ? strlen(name) + 1 : 0;
    if (trap)
        plan->traps++;
    else if (export->kind == LDR_EXPORT_FUNCTION)
        plan->functions++;
    else if (export->kind == LDR_EXPORT_DATA)
        plan->data_size += ldr_builtin_data_size(export);
    else
        plan->string_size += strlen(export->forward) + 1;
}

/* ---- merging ---- */

/* By name; exports without one go last, by ordinal. */
static int compare_exports(const void *a, const void *b)
{
    const struct ldr_builtin_export *left = *(const struct ldr_builtin_export *const *)a;
    const struct ldr_builtin_export *right = *(const struct ldr_builtin_export *const *)b;
    if (left->name == NULL || right->name == NULL)
        return left->name == right->name ? (int)left->ordinal - (int)right->ordinal
                                         : (left->name == NULL) - (right->name == NULL);
    return strcmp(left->name, right->name);
}

static nt_status sort_exports(const struct ldr_builtin *builtin,
                              const struct ldr_builtin_export **sorted, struct pe_error *err)
{
    size_t count = 0;
    for (size_t f = 0; f < builtin->family_count; f++)
        for (size_t i = 0; i < builtin->families[f].count; i++) {
            const struct ldr_builtin_export *export = &builtin->families[f].exports[i];
            const char *fault = export_fault(export);
            if (fault != NULL)
                return refuse(builtin, export->name, export->ordinal, fault, err);
            sorted[count++] = export;
        }
    qsort(sorted, count, sizeof(sorted[0]), compare_exports);
    for (size_t i = 1; i < count && sorted[i]->name != NULL; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return refuse(builtin, sorted[i]->name, 0, "is defined twice", err);
    return STATUS_SUCCESS;
}

static nt_status merge(const struct ldr_builtin *builtin,
                       const struct ldr_builtin_export *const *sorted, size_t count,
                       struct ldr_builtin_plan *plan, struct pe_error *err)
{
    const char *const *names = builtin->names;
    size_t e = 0, n = 0;
    while (e < count || n < builtin->name_count) {
        bool named = e < count && sorted[e]->name != NULL;
        int order = n == builtin->name_count ? -1 : named ? strcmp(sorted[e]->name, names[n]) : 1;
        if (order <= 0) {
            append(plan, sorted[e]->name, sorted[e]);
            e++;
        } else {
            append(plan, names[n], NULL);
        }
        if (order >= 0) {
            if (n > 0 && strcmp(names[n - 1], names[n]) >= 0)
                return refuse(builtin, names[n], 0, "is out of order in the list of names", err);
            n++;
        }
    }
    return STATUS_SUCCESS;
}

/* ---- ordinals ---- */

static nt_status assign_ordinals(const struct ldr_builtin *builtin, struct ldr_builtin_plan *plan,
                                 struct pe_error *err)
{
    bool taken[MAX_ORDINAL + 2] = {true}; /* 0 is none */
    uint32_t next = 1, last = 0, first = MAX_ORDINAL;
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t ordinal = plan->exports[i].ordinal;
        if (ordinal != 0 && taken[ordinal])
            return refuse(builtin, NULL, ordinal, "is used twice", err);
        taken[ordinal] = true;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        struct ldr_planned_export *export = &plan->exports[i];
        if (export->ordinal == 0) {
            while (taken[next])
                next++;
            export->ordinal = (uint16_t)next;
            taken[next] = true;
        }
        first = export->ordinal < first ? export->ordinal : first;
        last = export->ordinal > last ? export->ordinal : last;
    }
    plan->ordinal_base = plan->count ? first : 1;
    plan->ordinal_count = plan->count ? last - first + 1 : 0;
    return STATUS_SUCCESS;
}

nt_status ldr_builtin_plan(const struct ldr_builtin *builtin, struct ldr_builtin_plan *out,
                           struct pe_error *err)
{
    struct ldr_builtin_plan plan = {0};
    const struct ldr_builtin_export **sorted = NULL;
    size_t count = 0;
    nt_status status;
    ldr_builtin_complete(builtin);
    for (size_t f = 0; f < builtin->family_count; f++)
        count += builtin->families[f].count;
    if (count > MAX_ORDINAL || builtin->name_count > MAX_ORDINAL - count)
        return pe_fail(err, STATUS_INVALID_PARAMETER,
                       "builtin module %s: more exports than there are ordinals", builtin->name);
    sorted = calloc(count + 1, sizeof(sorted[0]));
    plan.exports = calloc(count + builtin->name_count + 1, sizeof(plan.exports[0]));
    if (sorted == NULL || plan.exports == NULL) {
        status = pe_fail(err, STATUS_NO_MEMORY, "builtin module %s: no memory", builtin->name);
        goto out;
    }
    status = sort_exports(builtin, sorted, err);
    if (status == STATUS_SUCCESS)
        status = merge(builtin, sorted, count, &plan, err);
    if (status == STATUS_SUCCESS)
        status = assign_ordinals(builtin, &plan, err);
out:
    free(sorted);
    if (status == STATUS_SUCCESS)
        *out = plan;
    else
        ldr_builtin_plan_free(&plan);
    return status;
}

void ldr_builtin_plan_free(struct ldr_builtin_plan *plan)
{
    free(plan->exports);
    plan->exports = NULL;
}
