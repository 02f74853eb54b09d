//! stub
pub(crate) mod mix {
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Mix;
    impl std::str::FromStr for Mix {
        type Err = String;
        fn from_str(_: &str) -> Result<Self, String> {
            Ok(Mix)
        }
    }
}
pub(crate) mod campaign {
    pub(crate) fn run(_: &crate::options::DiskOptions, _: &mut crate::report::Report) -> crate::failure::Result<()> {
        Ok(())
    }
}
pub(crate) mod serve {
    pub(crate) fn run(_: &crate::options::ServeOptions) -> crate::failure::Result<()> {
        Ok(())
    }
}
