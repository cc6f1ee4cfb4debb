/* A filter for CSV: reads a partition from stdin and writes the cleaned rows to stdout. A preview-1 command, built with
 * clang.
 *
 * - trims spaces and tabs from fields, except inside quotes;
 * - replaces missing values (empty, NA, N/A, NULL, null, nan, NaN, -) with one text, by default "NA";
 * - drops rows with an unclosed quote or with a number of fields that differs from the header's;
 * - writes line feeds as line ends, and quotes fields only if required.
 *
 * Settings, as an argument --NAME=VALUE or an environment variable CSV_CLEAN_NAME (the argument wins):
 *   na         replacement of a missing value           default NA
 *   delimiter  one character                            default ,
 *   header     1: the first row is a header; 0: the first row is data and is cleaned too. In both cases it sets the
 *              number of fields                         default 1
 * Writes the numbers of kept and dropped rows to stderr. Exit code 0; 2 for an invalid setting; 1 if a row is longer
 * than 1 MiB or the output cannot be written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROW = 1 << 20, MAX_FIELDS = 1 << 14, READ_BYTES = 1 << 16 };

static unsigned char input[READ_BYTES];
static size_t input_length, input_at;

/* The fields of a row, concatenated, with the start and length of each. */
static unsigned char row[MAX_ROW];
static size_t start[MAX_FIELDS], length[MAX_FIELDS];
static unsigned char quoted[MAX_FIELDS];

static int next_byte(void) {
    if (input_at == input_length) {
        input_length = fread(input, 1, sizeof input, stdin);
        input_at = 0;
        if (input_length == 0) return EOF;
    }
    return input[input_at++];
}

static void push_back(void) { input_at--; }

enum outcome { ROW, TORN, END, TOO_LONG };

/* Reads one row and sets the number of its fields. */
static enum outcome read_row(int delimiter, size_t *fields) {
    size_t used = 0, count = 0;
    int c = next_byte();
    if (c == EOF) return END;
    for (;;) {
        if (count == MAX_FIELDS) return TOO_LONG;
        start[count] = used;
        quoted[count] = 0;
        while (c == ' ' || (c == '\t' && delimiter != '\t')) c = next_byte();
        if (c == '"') {
            quoted[count] = 1;
            for (;;) {
                c = next_byte();
                if (c == EOF) return TORN;
                if (c == '"') {
                    c = next_byte();
                    if (c != '"') break;
                }
                if (used == MAX_ROW) return TOO_LONG;
                row[used++] = (unsigned char)c;
            }
            /* Only white space may follow the closing quote. */
            int rubbish = 0;
            while (c != EOF && c != delimiter && c != '\n' && c != '\r') {
                if (c != ' ' && c != '\t') rubbish = 1;
                c = next_byte();
            }
            if (rubbish) {
                while (c != EOF && c != '\n') c = next_byte();
                return TORN;
            }
        } else {
            while (c != EOF && c != delimiter && c != '\n' && c != '\r') {
                if (used == MAX_ROW) return TOO_LONG;
                row[used++] = (unsigned char)c;
                c = next_byte();
            }
            while (used > start[count] && (row[used - 1] == ' ' || row[used - 1] == '\t')) used--;
        }
        length[count] = used - start[count];
        count++;
        if (c == delimiter) {
            c = next_byte();
            continue;
        }
        if (c == '\r') {
            c = next_byte();
            if (c != '\n' && c != EOF) push_back();
        }
        *fields = count;
        return ROW;
    }
}

static int is_missing(const unsigned char *field, size_t n) {
    static const char *const words[] = {"", "NA", "N/A", "NULL", "null", "nan", "NaN", "-"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == n && memcmp(words[i], field, n) == 0) return 1;
    return 0;
}

static void write_field(const unsigned char *field, size_t n, int delimiter) {
    int quote = 0;
    for (size_t i = 0; i < n; i++)
        if (field[i] == '"' || field[i] == '\n' || field[i] == '\r' || field[i] == delimiter) quote = 1;
    if (n && (field[0] == ' ' || field[0] == '\t' || field[n - 1] == ' ' || field[n - 1] == '\t')) quote = 1;
    if (!quote) {
        fwrite(field, 1, n, stdout);
        return;
    }
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        if (field[i] == '"') putchar('"');
        putchar(field[i]);
    }
    putchar('"');
}

static const char *setting(int argc, char **argv, const char *name, const char *variable, const char *fallback) {
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--", 2) == 0 && strncmp(argv[i] + 2, name, n) == 0 && argv[i][2 + n] == '=')
            return argv[i] + 3 + n;
    const char *value = getenv(variable);
    return value ? value : fallback;
}

int main(int argc, char **argv) {
    const char *na = setting(argc, argv, "na", "CSV_CLEAN_NA", "NA");
    const char *delimiters = setting(argc, argv, "delimiter", "CSV_CLEAN_DELIMITER", ",");
    const char *headers = setting(argc, argv, "header", "CSV_CLEAN_HEADER", "1");
    if (strlen(delimiters) != 1 || strchr("\"\r\n ", *delimiters)) {
        fprintf(stderr, "csv-clean: delimiter must be one character, not a quote, space or line end\n");
        return 2;
    }
    int delimiter = (unsigned char)*delimiters, header = strcmp(headers, "0") != 0 && strcmp(headers, "false") != 0;
    static char output[1 << 16];
    setvbuf(stdout, output, _IOFBF, sizeof output);

    size_t width = 0, fields = 0;
    unsigned long kept = 0, dropped = 0;
    for (int first = 1;; first = 0) {
        enum outcome outcome = read_row(delimiter, &fields);
        if (outcome == END) break;
        if (outcome == TOO_LONG) {
            fprintf(stderr, "csv-clean: row %lu is longer than a MiB or has too many fields\n", kept + dropped + 1);
            return 1;
        }
        if (first && outcome == ROW) width = fields;
        if (outcome == TORN || fields != width) {
            dropped++;
            continue;
        }
        for (size_t i = 0; i < fields; i++) {
            const unsigned char *field = row + start[i];
            if (i) putchar(delimiter);
            /* A quoted NA is text. An empty field is missing, quoted or not. */
            int missing = length[i] == 0 || (!quoted[i] && is_missing(field, length[i]));
            if (missing && !(first && header)) fputs(na, stdout);
            else write_field(field, length[i], delimiter);
        }
        putchar('\n');
        if (!(first && header)) kept++;
    }
    if (fflush(stdout) != 0) return 1;
    fprintf(stderr, "csv-clean: kept %lu rows, dropped %lu\n", kept, dropped);
    return 0;
}
