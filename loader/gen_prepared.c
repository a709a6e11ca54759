/*
 * Writes the images of the builtin modules as C source, when peldr is built: it is the same for
 * every process, and making it takes longer than loading most images.
 *
 * usage: gen_prepared OUTPUT.c
 *
 * The images come from the code that writes them at run time. The table of host functions'
 * addresses is left empty; which rows of win32's tables they are is told beside it (ldr/builtin.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/builtin_plan.h"
#include "loader/mm/section.h"
#include "loader/win32/builtins.h"
#include "loader/win32/win32.h"
#include "pe/exports.h"
#include "pe/rules.h"

/*
 * Every start reads of some images what is in `notes`, and nothing of the rest of the source: what
 * is in it lies together, so that the kernel brings it in at once.
 */
struct out {
    FILE *images, *notes, *rows;
};

struct job {
    FILE *images, *notes;
    const struct ldr_builtin *builtin;
    unsigned number;
    struct ldr_builtin_plan plan;
    uint8_t *bytes;
    uint64_t size;
    struct pe_image image;
    uint32_t pointers, data_count, note_size;
};

static void fail(const struct job *job, const char *what, const char *name)
{
    fprintf(stderr, "gen_prepared: %s: %s %s\n", job->builtin->name, what, name ? name : "");
    exit(1);
}

static void need(const struct job *job, bool condition, const char *what)
{
    if (!condition)
        fail(job, what, NULL);
}

/* The pointer table begins the first PE section (ldr/builtin_image.c). */
static void open_image(struct job *job)
{
    struct pe_error err = {0};
    need(job, nt_ok(ldr_builtin_plan(job->builtin, &job->plan, &err)), err.text);
    need(job, nt_ok(ldr_builtin_image(job->builtin, &job->bytes, &job->size, &err)), err.text);
    need(job,
         nt_ok(pe_admit((struct pe_span){job->bytes, job->size}, PE_WINDOWS_10, &job->image, &err)),
         err.text);
    struct pe_section section;
    need(job, pe_section_at(&job->image, 0, &section), "has no PE section");
    job->pointers = section.virtual_address;
    size_t table = (job->plan.functions + 1) * sizeof(void *);
    need(job, job->size >= table && job->pointers <= job->size - table, "pointer table");
    memset(job->bytes + job->pointers, 0, table);
}

static void write_bytes(const struct job *job)
{
    fprintf(job->images, "static const uint64_t bytes_%u[%u] __attribute__((aligned(%u))) = {",
            job->number, (unsigned)pe_mapped_size(&job->image) / 8, PE_PAGE_SIZE);
    for (uint64_t at = 0; at < job->size; at += 8) {
        uint64_t value;
        memcpy(&value, job->bytes + at, 8); /* the size is a multiple of a page */
        fprintf(job->images, at % 64 == 0 ? "\n0x%llx," : "0x%llx,", (unsigned long long)value);
    }
    fputs("\n};\n", job->images);
}

/* All versions of Windows map such an image alike. */
static uint32_t make_note(const struct job *job, const uint8_t *mapped, uint8_t **note)
{
    static const enum pe_windows others[] = {PE_WINDOWS_XP, PE_WINDOWS_7};
    struct pe_error err = {0};
    uint32_t size, other_size, mapped_size = pe_mapped_size(&job->image);
    need(job,
         nt_ok(mm_section_note_inside(mapped, mapped_size, job->builtin->name, PE_WINDOWS_10, note,
                                      &size, &err)),
         err.text);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        uint8_t *other;
        need(job,
             nt_ok(mm_section_note_inside(mapped, mapped_size, job->builtin->name, others[i],
                                          &other, &other_size, &err)),
             err.text);
        need(job, size == other_size && memcmp(*note, other, size) == 0, "is mapped in two ways");
        free(other);
    }
    return size;
}

static void write_note(struct job *job)
{
    uint8_t *mapped = calloc(1, pe_mapped_size(&job->image)), *note = NULL;
    need(job, mapped != NULL, "no memory");
    memcpy(mapped, job->bytes, job->size);
    job->note_size = make_note(job, mapped, &note);
    fprintf(job->notes, "static const uint8_t note_%u[] = {", job->number);
    for (uint32_t i = 0; i < job->note_size; i++)
        fprintf(job->notes, i % 32 == 0 ? "\n%u," : "%u,", note[i]);
    fputs("\n};\n", job->notes);
    free(note);
    free(mapped);
}

static struct ldr_row_ref row_of(const struct job *job, const struct ldr_builtin_export *export)
{
    struct ldr_row_ref ref;
    if (!win32_row_of(export, &ref))
        fail(job, "no table has", export->name);
    return ref;
}

static void write_functions(const struct job *job)
{
    fprintf(job->images, "static const struct ldr_row_ref functions_%u[] = {", job->number);
    for (uint32_t i = 0, column = 0; i < job->plan.count; i++) {
        const struct ldr_builtin_export *export = job->plan.exports[i].export;
        if (export && export->kind == LDR_EXPORT_FUNCTION) {
            struct ldr_row_ref ref = row_of(job, export);
            fprintf(job->images, column++ % 8 == 0 ? "\n{%u, %u}," : "{%u, %u},", ref.table,
                    ref.row);
        }
    }
    fputs("{0, 0}\n};\n", job->images);
}

static void write_data(struct job *job)
{
    struct pe_exports exports;
    need(job, pe_exports_open(&job->image, &exports), "has no exports");
    fprintf(job->notes, "static const struct ldr_prepared_data data_%u[] = {", job->number);
    for (uint32_t i = 0; i < job->plan.count; i++) {
        const struct ldr_builtin_export *export = job->plan.exports[i].export;
        struct pe_export found;
        if (!export || export->kind != LDR_EXPORT_DATA)
            continue;
        need(job, pe_export_by_ordinal(&exports, job->plan.exports[i].ordinal, &found), "ordinal");
        struct ldr_row_ref ref = row_of(job, export);
        fprintf(job->notes, "\n{0x%x, {%u, %u}},", found.rva, ref.table, ref.row);
        job->data_count++;
    }
    fputs("{0, {0, 0}}\n};\n", job->notes);
}

static void write_row(const struct job *job, FILE *rows)
{
    unsigned n = job->number;
    fprintf(
        rows,
        "{\"%s\", (const uint8_t *)bytes_%u, 0x%x, 0x%x, 0x%x, note_%u, %u, &bound, 0x%x, %u, %u, "
        "functions_%u, data_%u},\n",
        job->builtin->name, n, (unsigned)job->size, pe_mapped_size(&job->image),
        (unsigned)ldr_builtin_base(job->builtin), n, job->note_size, job->pointers,
        job->plan.functions, job->data_count, n, n);
}

static void write_builtin(const struct out *out, const struct ldr_builtin *builtin, unsigned number)
{
    struct job job = {
        .images = out->images, .notes = out->notes, .builtin = builtin, .number = number};
    open_image(&job);
    write_bytes(&job);
    write_note(&job);
    write_functions(&job);
    write_data(&job);
    write_row(&job, out->rows);
    ldr_builtin_plan_free(&job.plan);
    free(job.bytes);
}

/* What belongs behind the images, as text. */
struct text {
    FILE *stream;
    char *bytes;
    size_t size;
};

static bool open_text(struct text *text)
{
    text->stream = open_memstream(&text->bytes, &text->size);
    return text->stream != NULL;
}

static void append_text(FILE *out, struct text *text, const char *before, const char *behind)
{
    fclose(text->stream);
    fprintf(out, "%s%s%s", before, text->bytes, behind);
    free(text->bytes);
}

int main(int argc, char **argv)
{
    struct text notes, rows;
    FILE *out = argc == 2 ? fopen(argv[1], "w") : NULL;
    const struct ldr_builtin *builtin = NULL;
    if (out == NULL || !open_text(&notes) || !open_text(&rows)) {
        fputs("usage: gen_prepared OUTPUT.c\n", stderr);
        return 2;
    }
    fputs("/* Generated by gen_prepared. */\n#include \"loader/peldr_api.h\"\n\n", out);
    win32_register();
    const struct out to = {out, notes.stream, rows.stream};
    for (unsigned n = 0; (builtin = ldr_builtin_next(builtin)) != NULL; n++)
        write_builtin(&to, builtin, n);
    append_text(out, &notes, "static const void *const bound = NULL;\n", "");
    append_text(out, &rows, "const struct ldr_prepared peldr_prepared[] = {\n", "};\n");
    fputs("const size_t peldr_prepared_count = sizeof peldr_prepared / sizeof *peldr_prepared;\n",
          out);
    return fclose(out) != 0;
}
