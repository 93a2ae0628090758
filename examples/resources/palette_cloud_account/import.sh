# By name, or by id. The password stays as it is at the hub; the next apply sends it, because password_wo_version is new.
terraform import palette_cloud_account.lab lab
