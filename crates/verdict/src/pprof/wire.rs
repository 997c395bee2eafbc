//! The fields of a message, one after the other, borrowed. Walking them costs nothing, so that a file is walked
//! several times rather than held twice.

use crate::read::ReadError;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes; profile.proto has none.
    Fixed,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// Where it begins.
    pub(super) at: usize,
}

/// The fields of `bytes`; ends after the first error.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Fields { bytes, at: 0 }
    }

    fn next_field(&mut self) -> Result<Field<'a>, &'static str> {
        let at = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| "a field has too large a number")?;
        if number == 0 {
            return Err("a field has the number 0");
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err("a field has a type that there is not"),
        };
        Ok(Field { number, value, at })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], &'static str> {
        let rest = &self.bytes[self.at..];
        let length = usize::try_from(length).ok().filter(|&length| length <= rest.len());
        let length = length.ok_or("a field is longer than the file")?;
        self.at += length;
        Ok(&rest[..length])
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or("it ends in the middle of a number")?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err("a number is larger than 2^64");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has more than ten bytes")
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        let field = self.next_field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field.map_err(|what| ReadError::Pprof { what: what.to_owned(), at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_fields_and_stops_at_what_is_none() {
        let bytes = [0x0a, 2, 0xff, 0xfe, 0x48, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8];
        let fields: Result<Vec<_>, _> = Fields::of(&bytes).collect();
        let fields = fields.expect("they are whole");
        assert_eq!(fields[0], Field { number: 1, value: Value::Bytes(&[0xff, 0xfe]), at: 0 });
        assert_eq!(fields[1], Field { number: 9, value: Value::Number(150), at: 4 });
        assert_eq!(fields[2], Field { number: 2, value: Value::Fixed, at: 7 });
        for bytes in [&[0x0a][..], &[0x0a, 1], &[0x0b, 1], &[0x00, 1], &[0x48, 0xff], &[0x48; 1], &[0x11, 1]]
        {
            let fields: Vec<_> = Fields::of(bytes).collect();
            assert!(matches!(fields[..], [Err(_)]), "{bytes:?}");
        }
        let long = [0x48, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Fields::of(&long).any(|field| field.is_err()), "2^64 and more is no number");
    }
}
