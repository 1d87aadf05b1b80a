# Makes veod-protocol(7) of proto/PROTOCOL.md, in mdoc.
# Usage: LC_ALL=C awk -f protocol.awk PROTOCOL.md >veod-protocol.7
#
# It knows the Markdown that is used there: headings, paragraphs, bullets, tables, fenced blocks,
# and `code` and *emphasis* within a line. What it doesn't know ends it with an error.

BEGIN {
    FOLD = 68    # columns of a literal line
    print ".\\\" Made by man/protocol.awk of proto/PROTOCOL.md: change that."
    print ".Dd November 23, 2026\n.Dt VEOD-PROTOCOL 7\n.Os"
    print ".Sh NAME\n.Nm veod-protocol\n.Nd lines that clients and veod send each other"
    print ".Sh DESCRIPTION"
    fresh = 1
}

END {
    if (failed)
        exit 1
    end_text()
    end_list()
    if (in_block)
        fail("a block has no end")
    print ".Sh FILES\n.Bl -tag -width Ds\n.It Pa /run/veod/veod.sock\nthe socket"
    print ".It Pa PROTOCOL.md\namong the documentation: this text, without folded lines\n.El"
    print ".Sh SEE ALSO\n.Xr socat 1 ,\n.Xr veoctl 1 ,\n.Xr veod.conf 5 ,\n.Xr veod 8"
}

function tell_how_it_is_shown() {
    print ".Pp\nExamples have what a client sends after"
    print ".Ql C\\&:\nand what veod answers after\n.Ql S\\&: ."
    print "Long lines are folded here."
    print "An ellipsis stands for what is left out, and a word such as\n.Ql <id>\nfor a value."
}

function fail(why) {
    printf "protocol.awk: line %d: %s\n", FNR, why >"/dev/stderr"
    failed = 1
    exit 1
}

# ---- characters ----

function plain(text) {
    gsub(/\\/, "\\e", text)
    gsub(/…/, "\\[u2026]", text)
    gsub(/→/, "\\[u2192]", text)
    gsub(/─/, "\\[u2500]", text)
    gsub(/│/, "\\[u2502]", text)
    gsub(/┌/, "\\[u250C]", text)
    gsub(/┐/, "\\[u2510]", text)
    gsub(/└/, "\\[u2514]", text)
    gsub(/├/, "\\[u251C]", text)
    if (text ~ /[\200-\377]/)
        fail("an unknown character: " text)
    return text
}

# Copied from a page, it must be what a program takes.
function literal(text) {
    text = plain(text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/~/, "\\(ti", text)
    gsub(/\^/, "\\(ha", text)
    return text
}

# A line that begins with a control character would be a request.
function put(line) {
    if (line == "")
        return
    print (line ~ /^[.']/ ? "\\&" : "") line
}

# ---- running text ----

function macro(code) {
    if (code ~ /^[A-Z]+$/)
        return "Ic"
    if (code ~ /^[a-z][a-z0-9_.]*$/)
        return "Va"
    if (code ~ /^[a-z]+(-[a-z]+)+$/)
        return "Er"
    return "Ql"
}

function quoted(code) {
    code = literal(code)
    gsub(/"/, "\\(dq", code)
    return code ~ / / ? "\"" code "\"" : code
}

# Words go to the line that is being filled, and begin a new one where it is full, or a sentence ends.
function flow(text,   words, count, i) {
    count = split(plain(text), words, " ")
    for (i = 1; i <= count; i++) {
        if (length(filled) + length(words[i]) > 76 || filled ~ /[.?!]\)?$/) {
            put(filled)
            filled = ""
        }
        filled = filled (filled == "" ? "" : " ") words[i]
    }
}

# What stands right before a code goes to its line, as what stands right after it does: mdoc sets
# parentheses and stops without a space.
function mark(name, argument, rest,   before, after) {
    if (match(filled, /(^| )\($/) && !glued_space) {
        before = "( "
        sub(/ ?\($/, "", filled)
    } else if (filled != "" && !glued_space) {
        fail("code right after a word: " argument)
    }
    put(filled)
    filled = ""
    while (match(rest, /^[.,;:)]/)) {
        after = after " " substr(rest, 1, 1)
        rest = substr(rest, 2)
    }
    if (rest ~ /^[^ ]/)
        fail("a word right after code: " argument rest)
    print "." name " " before argument after
    return rest
}

function inline(text,   at, code, star) {
    while (match(text, /`[^`]+`|\*[a-z]+\*/)) {
        at = substr(text, 1, RSTART - 1)
        code = substr(text, RSTART + 1, RLENGTH - 2)
        star = substr(text, RSTART, 1) == "*"
        text = substr(text, RSTART + RLENGTH)
        flow(at)
        glued_space = at == "" || at ~ / $/
        text = mark(star ? "Em" : macro(code), star ? code : quoted(code), text)
    }
    flow(text)
    put(filled)
    filled = ""
}

# ---- paragraphs, lists and tables ----

function end_text() {
    if (paragraph == "")
        return
    if (!fresh && !in_list)
        print ".Pp"
    inline(paragraph)
    paragraph = ""
    fresh = 0
}

function end_list() {
    if (!in_list)
        return
    print ".El"
    in_list = 0
    fresh = 0
}

function begin_list(kind) {
    if (in_list)
        return
    print ".Bl -" kind
    in_list = 1
}

function row(line,   cells, count, codes, n, tags, i) {
    sub(/^\| */, "", line)
    sub(/ *\|$/, "", line)
    count = split(line, cells, / *\| */)
    begin_list("tag -width Ds")
    n = split(cells[1], codes, /`, `/)
    tags = ".It"
    for (i = 1; i <= n; i++) {
        gsub(/`/, "", codes[i])
        tags = tags (i == 1 ? " " : " , ") macro(codes[i]) " " quoted(codes[i])
    }
    print tags
    inline(cells[2] (count > 2 && cells[3] != "" ? ". With " cells[3] : ""))
}

# ---- literal lines ----

function columns(text) {
    gsub(/[\200-\277]/, "", text)
    return length(text)
}

# Where a line that is too long is cut: after a comma or a space, or else anywhere.
function cut(line,   at, whole) {
    for (at = length(line); columns(substr(line, 1, at)) > FOLD; at--)
        ;
    whole = at
    while (at > FOLD / 4 && substr(line, at, 1) !~ /[, ]/)
        at--
    return at > FOLD / 4 ? at : whole
}

# Pictures stay as they are.
function fold(line,   at, head) {
    while (line ~ /^(C:|S:|\$|      ) ?[^ ]/ && columns(line) > FOLD) {
        at = cut(line)
        head = substr(line, 1, at)
        sub(/ +$/, "", head)
        put(literal(head))
        line = "       " substr(line, at + 1)
    }
    put(literal(line))
}

/^```/ {
    end_text()
    end_list()
    in_block = !in_block
    print in_block ? ".Bd -literal -offset Ds" : ".Ed"
    if (!in_block)
        fresh = 0
    next
}

in_block {
    if ($0 == "")
        print ""
    else
        fold($0)
    next
}

/^# / { next }

/^## / {
    end_text()
    end_list()
    if (!sections++)
        tell_how_it_is_shown()
    sub(/^## ([0-9]+\. )?/, "")
    title = toupper($0)
    if (title == "ERRORS" || title == "LINES") # mdoc has other plans for these
        title = "THE " title
    print ".Sh " title
    fresh = 1
    next
}

/^### / {
    end_text()
    end_list()
    print ".Ss " substr($0, 5)
    fresh = 1
    next
}

/^\|-/ { next }

# The row before the dashes is a heading.
/^\| *[a-z]+ *\|/ { next }

/^\| *`/ {
    end_text()
    row($0)
    next
}

/^\* / {
    end_text()
    begin_list("bullet")
    print ".It"
    paragraph = substr($0, 3)
    next
}

/^  [^ ]/ && in_list && paragraph != "" {
    paragraph = paragraph " " substr($0, 3)
    next
}

/^$/ {
    end_text()
    end_list()
    next
}

/^[|#>]|^ |^[0-9]+\. / { fail("unknown: " $0) }

{
    end_list()
    paragraph = paragraph (paragraph == "" ? "" : " ") $0
}
