import {
  to = palette_cloud_account.lab
  id = "lab"
}
