//! The tokens that answers are made of, each as bytes.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/67b6113c-d722-42d1-902c-3f6e8de09173>

const TEXT_OF_ERROR: &str = "Login failed for user 'reader' with password";

/// One value of a table. All values of a column are of one kind, or NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// bigint.
    Number(i64),
    /// nvarchar(4000).
    Text(String),
    /// nvarchar(max).
    Long(String),
    /// No value.
    Null,
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A text behind the number of its characters, in one byte.
fn short(text: &str) -> Vec<u8> {
    [vec![low(text.encode_utf16().count())], utf16(text)].concat()
}

fn low(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

fn two(number: usize) -> [u8; 2] {
    [low(number), low(number >> 8)]
}

/// A token whose content follows its length.
fn token(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &two(content.len()), content].concat()
}

/// The end of an answer, with a number of rows.
#[must_use]
pub fn done(rows: u64) -> Vec<u8> {
    end(0x10, rows)
}

fn end(status: u8, rows: u64) -> Vec<u8> {
    [&[0xfd, status, 0, 0xc1, 0][..], &rows.to_le_bytes()].concat()
}

fn message(kind: u8, number: i32, severity: u8, text: &str) -> Vec<u8> {
    let head = [&number.to_le_bytes()[..], &[1, severity], &two(text.encode_utf16().count())].concat();
    let place = [short("mock"), short(""), 1_u32.to_le_bytes().to_vec()].concat();
    token(kind, &[head, utf16(text), place].concat())
}

/// A refusal: an error of this number and severity for each, then the end. Each error's text ends in `echo`, as a
/// server may give back what it was sent.
#[must_use]
pub fn error(errors: &[(i32, u8)], echo: &str) -> Vec<u8> {
    let text = format!("{TEXT_OF_ERROR} '{echo}'");
    let errors = errors.iter().flat_map(|(number, severity)| message(0xaa, *number, *severity, &text));
    errors.chain(end(0x02, 0)).collect()
}

fn acknowledged() -> Vec<u8> {
    let program = [short("Microsoft SQL Server"), vec![16, 0, 4, 135]].concat();
    token(0xad, &[&[1, 0x74, 0, 0, 4][..], &program].concat())
}

/// A successful login, as a server words it: database, language and packet size on the way.
#[must_use]
pub fn accepted() -> Vec<u8> {
    [
        token(0xe3, &[vec![1], short("orders"), short("master")].concat()),
        message(0xab, 5701, 10, "Changed database context to 'orders'."),
        token(0xe3, &[vec![2], short("us_english"), short("")].concat()),
        message(0xab, 5703, 10, "Changed language setting to us_english."),
        acknowledged(),
        token(0xe3, &[vec![4], short("4096"), short("4096")].concat()),
        end(0, 0),
    ]
    .concat()
}

/// A successful login that is to go on at another server.
#[must_use]
pub fn redirect(host: &str, port: u16) -> Vec<u8> {
    let target = [&[0][..], &port.to_le_bytes(), &two(host.encode_utf16().count()), &utf16(host)].concat();
    let change = [&[20][..], &two(target.len()), &target, &two(0)].concat();
    [acknowledged(), token(0xe3, &change), end(0, 0)].concat()
}

/// A row that no table has announced.
#[must_use]
pub fn row_of_no_table() -> Vec<u8> {
    [vec![0xd1, 8, 1, 0, 0, 0, 0, 0, 0, 0], done(1)].concat()
}

/// A table. Rows that hold a NULL are written in the short form, as servers do.
#[must_use]
pub fn table(rows: &[Vec<Value>]) -> Vec<u8> {
    let width = rows.first().map_or(0, Vec::len);
    let mut answer = [&[0x81][..], &two(width)].concat();
    for column in 0..width {
        let kind = rows.iter().find_map(|row| description(row.get(column)?)).unwrap_or_else(|| vec![0x26, 8]);
        answer.extend([0, 0, 0, 0, 9, 0]);
        answer.extend(kind);
        answer.extend(short("column"));
    }
    for row in rows {
        answer.extend(self::row(row));
    }
    answer.extend(done(rows.len() as u64));
    answer
}

fn description(value: &Value) -> Option<Vec<u8>> {
    let text = |length: usize| [&[0xe7][..], &two(length), &[9, 4, 0xd0, 0, 0x34]].concat();
    match value {
        Value::Number(_) => Some(vec![0x26, 8]),
        Value::Text(_) => Some(text(8000)),
        Value::Long(_) => Some(text(0xffff)),
        Value::Null => None,
    }
}

fn row(values: &[Value]) -> Vec<u8> {
    let mut bitmap = vec![0; values.len().div_ceil(8)];
    for (index, _) in values.iter().enumerate().filter(|(_, value)| **value == Value::Null) {
        bitmap[index / 8] |= 1 << (index % 8);
    }
    let values = values.iter().map(written).collect::<Vec<_>>().concat();
    if bitmap.iter().all(|bits| *bits == 0) {
        return [vec![0xd1], values].concat();
    }
    [vec![0xd2], bitmap, values].concat()
}

fn written(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::Number(number) => [&[8][..], &number.to_le_bytes()].concat(),
        Value::Text(text) => [&two(utf16(text).len())[..], &utf16(text)].concat(),
        Value::Long(text) => {
            let text = utf16(text);
            // In pieces of an odd length, as nothing forbids.
            let pieces = text.chunks(4001).map(|piece| [&two(piece.len())[..], &[0, 0], piece].concat());
            [&(text.len() as u64).to_le_bytes()[..], &pieces.collect::<Vec<_>>().concat(), &[0; 4]].concat()
        }
    }
}
